//! INFO persistence: the fields of Redis where they mean something here, and our own about the log.

use crate::admin::log_state;
use crate::clock;
use crate::config::Named as _;
use crate::context::Context;
use crate::info::line;
use crate::persistence::Persistence;
use crate::session::last_save;

pub(crate) fn persistence(context: &Context, out: &mut String) {
    line(
        out,
        format_args!("loading:{}", u8::from(context.is_loading())),
    );
    line(out, format_args!("async_loading:0"));
    let Some(persistence) = &context.persistence else {
        changes(context, 0, out);
        line(out, format_args!("rdb_bgsave_in_progress:0"));
        line(
            out,
            format_args!("rdb_last_save_time:{}", last_save(context)),
        );
        // As a Redis that is to save nothing.
        let fields = [
            "rdb_last_bgsave_status:ok",
            "rdb_last_bgsave_time_sec:-1",
            "rdb_current_bgsave_time_sec:-1",
            "rdb_saves:0",
            "aof_enabled:0",
            "aof_rewrite_in_progress:0",
            "aof_last_bgrewrite_status:ok",
            "aof_last_write_status:ok",
        ];
        return fields
            .iter()
            .for_each(|field| line(out, format_args!("{field}")));
    };
    if context.is_loading() {
        loading(persistence, out);
    }
    snapshots(context, persistence, out);
    log(context, out);
    disk(persistence, out);
}

/// Changes since the newest snapshot began, or since the start.
fn changes(context: &Context, before: u64, out: &mut String) {
    // A shard that was made again begins to count anew.
    let since = context.gauges.changes().saturating_sub(before);
    line(out, format_args!("rdb_changes_since_last_save:{since}"));
}

fn loading(persistence: &Persistence, out: &mut String) {
    let progress = persistence.progress();
    let (done, total) = (progress.done, progress.total);
    let since = persistence.loading_since;
    let percent = done as f64 * 100.0 / total.max(1) as f64;
    let passed = (clock::unix_micros() / 1_000_000).saturating_sub(since);
    let left = total.saturating_sub(done).saturating_mul(passed) / done.max(1);
    line(out, format_args!("loading_start_time:{since}"));
    line(out, format_args!("loading_total_bytes:{total}"));
    line(out, format_args!("loading_loaded_bytes:{done}"));
    line(out, format_args!("loading_loaded_perc:{percent:.2}"));
    line(out, format_args!("loading_eta_seconds:{left}"));
}

fn snapshots(context: &Context, persistence: &Persistence, out: &mut String) {
    let saves = persistence.saves();
    changes(context, saves.changes, out);
    let under_way = u8::from(saves.since.is_some());
    let status = if saves.last_is_good { "ok" } else { "err" };
    let seconds = |time: Option<std::time::Duration>| time.map_or(-1, |time| time.as_secs() as i64);
    let current = saves
        .since
        .map(|since| clock::now().saturating_duration_since(since));
    line(out, format_args!("rdb_bgsave_in_progress:{under_way}"));
    line(
        out,
        format_args!("rdb_last_save_time:{}", saves.last_seconds),
    );
    line(out, format_args!("rdb_last_bgsave_status:{status}"));
    line(
        out,
        format_args!("rdb_last_bgsave_time_sec:{}", seconds(saves.last_took)),
    );
    line(
        out,
        format_args!("rdb_current_bgsave_time_sec:{}", seconds(current)),
    );
    line(out, format_args!("rdb_saves:{}", saves.count));
    line(out, format_args!("snapshot_failures:{}", saves.failures));
    if let Some(why) = saves.last_error {
        line(out, format_args!("snapshot_last_error:{}", one_line(&why)));
    }
    if let Some(report) = saves.last_report {
        let micros = report.took.as_micros().max(1);
        let speed = u128::from(report.bytes) * 1_000_000 / micros;
        let (entries, bytes) = (report.entries, report.bytes);
        line(out, format_args!("snapshot_last_entries:{entries}"));
        line(out, format_args!("snapshot_last_bytes:{bytes}"));
        line(out, format_args!("snapshot_last_bytes_per_sec:{speed}"));
    }
    line(out, format_args!("aof_enabled:1"));
    line(out, format_args!("aof_rewrite_in_progress:{under_way}"));
    line(out, format_args!("aof_last_bgrewrite_status:{status}"));
}

fn disk(persistence: &Persistence, out: &mut String) {
    let Some(disk) = persistence.disk() else {
        return;
    };
    let reserve = match (disk.reserve_bytes(), disk.is_reserve_spent()) {
        (0, _) => "none",
        (_, true) => "given_up",
        (_, false) => "whole",
    };
    line(out, format_args!("disk_reserve:{reserve}"));
    line(
        out,
        format_args!("disk_reserve_bytes:{}", disk.reserve_bytes()),
    );
    if let Some(free) = disk.free_bytes() {
        line(out, format_args!("disk_free_bytes:{free}"));
    }
}

fn log(context: &Context, out: &mut String) {
    let state = log_state(context);
    let status = match state {
        "no_space" | "failed" => "err",
        _ => "ok",
    };
    let sync = context.settings.sync.word();
    line(out, format_args!("aof_last_write_status:{status}"));
    line(out, format_args!("log_state:{state}"));
    if let Some((_, why)) = context.keep.log_refuses() {
        line(out, format_args!("log_why:{}", one_line(&why)));
    }
    line(out, format_args!("log_sync:{sync}"));
    let Some(stats) = context.keep.log_stats() else {
        return;
    };
    let figures = [
        ("places", stats.places as u64),
        ("places_taken", stats.places_taken as u64),
        ("batches", stats.batches),
        ("bytes", stats.bytes),
        ("bytes_waiting", stats.bytes_waiting),
        ("writes", stats.writes),
        ("syncs", stats.syncs),
        ("sync_usec", stats.sync_time.as_micros() as u64),
        ("sync_usec_max", stats.sync_time_max.as_micros() as u64),
        ("refused", stats.refused),
    ];
    for (name, figure) in figures {
        line(out, format_args!("log_{name}:{figure}"));
    }
    let pressure = context.keep.walk_pressure();
    let figures = [
        ("cuts", stats.cuts),
        ("cut_attempts", stats.cut_attempts),
        ("cut_attempts_max", stats.cut_attempts_max),
        ("cut_held_usec", stats.cut_held.as_micros() as u64),
        ("cut_held_usec_max", stats.cut_held_max.as_micros() as u64),
        ("buffer_bytes", pressure.bytes() as u64),
        ("buffer_limit_bytes", pressure.bound() as u64),
        ("refused", stats.walk_refused),
    ];
    for (name, figure) in figures {
        line(out, format_args!("walk_{name}:{figure}"));
    }
}

/// A text that may hold a path, which may hold anything: a line of its own would be another figure.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
