//! What is asked and answered: submit, query, cancel, and the counters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};
use shardkeep::Error;
use shardkeep_core::supervisor::{ChildState, Supervisor};

use crate::board::{Board, Cancellation, NotAccepted};
use crate::http::{Reply, Request};
use crate::queue::Id;
use crate::task::Task;

/// Answers one request.
pub(crate) fn answer(board: &Board, tree: &Supervisor, request: &Request) -> Reply {
    let job = request.path.strip_prefix("/jobs/").map(str::parse::<Id>);
    match (request.method.as_str(), request.path.as_str(), job) {
        ("POST", "/jobs", _) => submit(board, &request.body),
        ("GET", "/stats", _) => Reply::new(200, stats(board, tree)),
        ("GET", _, Some(Ok(id))) => query(board, id),
        ("DELETE", _, Some(Ok(id))) => cancel(board, id),
        (_, "/jobs" | "/stats", _) | (_, _, Some(Ok(_))) => Reply::error(405, "not with this path"),
        _ => Reply::error(404, "there are /jobs, /jobs/NUMBER and /stats"),
    }
}

fn submit(board: &Board, body: &[u8]) -> Reply {
    let Ok(text) = std::str::from_utf8(body) else {
        return Reply::error(400, "a task is text");
    };
    let text = text.trim_end();
    if let Err(why) = Task::parse(text) {
        return Reply::error(400, why);
    }
    match board.submit(text.to_owned()) {
        Ok(id) => Reply::new(202, json!({ "id": id, "state": "queued" })),
        Err(NotAccepted::Full(time)) => {
            Reply::error(503, "refused: all places are taken").retry_after(time)
        }
        Err(NotAccepted::Store(error)) => failed(&error),
    }
}

/// Refused is worth another try; lost is not known to be undone.
fn failed(error: &Error) -> Reply {
    match error {
        Error::Refused(_) => {
            Reply::error(503, error).retry_after(std::time::Duration::from_secs(1))
        }
        Error::Lost(_) => Reply::error(500, error),
    }
}

fn query(board: &Board, id: Id) -> Reply {
    match board.get(id) {
        Ok(Some(job)) => {
            let (state, says) = job.told();
            let told = json!({
                "id": id, "state": state, "attempts": job.attempts, "says": says, "task": job.task,
            });
            Reply::new(200, told)
        }
        Ok(None) => Reply::error(404, "no such job"),
        Err(error) => failed(&error),
    }
}

fn cancel(board: &Board, id: Id) -> Reply {
    match board.cancel(id) {
        Ok(Cancellation::Cancelled) => Reply::new(200, json!({ "id": id, "state": "cancelled" })),
        Ok(Cancellation::Asked) => Reply::new(202, json!({ "id": id, "state": "running" })),
        Ok(Cancellation::Over) => Reply::error(409, "the job is over"),
        Ok(Cancellation::Unknown) => Reply::error(404, "no such job"),
        Err(error) => failed(&error),
    }
}

fn stats(board: &Board, tree: &Supervisor) -> Value {
    let (depth, counts) = (board.depth(), &board.counts);
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    json!({
        "threads": threads(),
        "queue": { "waiting": depth.waiting, "taken": depth.taken, "places": depth.places },
        "accepted": count(&counts.accepted),
        "refused": count(&counts.refused),
        "attempts": count(&counts.attempts),
        "done": count(&counts.done),
        "retried": count(&counts.retried),
        "parked": count(&counts.parked),
        "cancelled": count(&counts.cancelled),
        "busy_seconds": count(&counts.busy_us) as f64 / 1e6,
        "tree": tree.states().iter().map(child).collect::<Vec<_>>(),
    })
}

fn child(child: &ChildState) -> Value {
    json!({
        "name": child.name,
        "policy": format!("{:?}", child.policy),
        "standing": format!("{:?}", child.standing),
        "restarts": child.restarts,
        "last_reason": child.last_reason,
    })
}

/// Threads of this process, where the system tells.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
