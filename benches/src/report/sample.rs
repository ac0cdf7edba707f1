//! Results as the commands write them, with invented figures, for tests.

use serde_json::{Value, json};

/// One file of every command.
pub(super) fn all() -> [Value; 6] {
    [
        embedded(),
        wire(),
        durable(),
        growth(),
        memory(),
        connections(),
    ]
}

fn file(command: &str, results: &[Value]) -> Value {
    json!({
        "command": command,
        "arguments": [command, "--json", "<b>&\"file\""],
        "seed": 7,
        "unix_seconds": 1_795_218_891,
        "machine": {
            "cpu": "An Invented CPU <script>", "cores": 2, "memory_mb": 24_105,
            "kernel": "6.1", "huge_pages": "madvise",
        },
        "versions": {"dashmap": "6.2.1", "shardkeep-bench": "0.1.0"},
        "skipped": ["mutex with 10,000,000 keys: needs <9> GB"],
        "results": results,
    })
}

/// Median, slowest and fastest round around `ops`.
fn with_rate(mut row: Value, ops: f64) -> Value {
    row["ops_per_s"] = json!(ops);
    row["ops_per_s_min"] = json!(ops * 0.95);
    row["ops_per_s_max"] = json!(ops * 1.05);
    row
}

fn curve(nanos: f64) -> Value {
    let points = (0..20_i32).map(|step| {
        let left = 0.5_f64.powi(step);
        json!([1.0 - left, nanos / left.sqrt()])
    });
    Value::from(
        points
            .chain([json!([1.0, nanos * 2_000.0])])
            .collect::<Vec<_>>(),
    )
}

/// The base point of a map, changed by `change`.
fn map(engine: &str, ops: f64, change: &Value) -> Value {
    let mut row = json!({
        "engine": engine, "threads": 2, "batch": 1, "keys": 1_000_000, "value_bytes": 64,
        "read_percent": 95, "distribution": "uniform", "shards": null, "window_us": null,
        "workload": "reads-and-writes", "axis": "base", "atomic": null,
        "samples": 1_000, "p50_ns": 200, "p90_ns": 300, "p99_ns": 900, "p999_ns": 9_000,
        "p9999_ns": 90_000, "max_ns": 4_000_000, "percentile_curve_ns": curve(ops / 5e4),
        "wrong": 0,
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        row[field.as_str()] = value.clone();
    }
    with_rate(row, ops)
}

/// Results of `embedded` on every axis.
pub(super) fn embedded() -> Value {
    let mut rows = Vec::new();
    let mut add = |change: Value, ours: f64, dashmap: f64| {
        rows.push(map("owners-lend", ours, &change));
        rows.push(map("dashmap", dashmap, &change));
    };
    add(json!({}), 10e6, 14e6);
    for threads in [1, 4] {
        add(json!({"axis": "threads", "threads": threads}), 11e6, 9e6);
    }
    for batch in [64, 512] {
        add(json!({"axis": "batch", "batch": batch}), 25e6, 15e6);
    }
    for percent in [100, 0] {
        add(
            json!({"axis": "read-percent", "read_percent": percent}),
            12e6,
            12e6,
        );
    }
    for name in ["zipf", "hot-key"] {
        add(
            json!({"axis": "distribution", "distribution": name}),
            9e6,
            8e6,
        );
    }
    add(json!({"axis": "keys", "keys": 1_000}), 40e6, 30e6);
    add(
        json!({"axis": "value-bytes", "value_bytes": 4_096}),
        2e6,
        3e6,
    );
    let counter = json!({"axis": "workload", "workload": "counter", "atomic": true});
    add(counter, 7e6, 8e6);
    add(json!({"axis": "workload", "workload": "ycsb-a"}), 7e6, 8e6);
    for shards in [8, 64] {
        let change = json!({"axis": "shards", "shards": shards});
        rows.push(map("owners-lend", 9e6, &change));
    }
    for window in [0, 100] {
        let change = json!({"axis": "window", "window_us": window});
        rows.push(map("owners-mail", 3e5, &change));
    }
    let transfer =
        |atomic: bool| json!({"axis": "workload", "workload": "transfer", "atomic": atomic});
    rows.push(map("owners-lend", 3e6, &transfer(true)));
    rows.push(map("dashmap", 9e6, &transfer(false)));
    file("embedded", &rows)
}

fn server(name: &str, ops: f64, change: &Value) -> Value {
    let mut row = json!({
        "server": name, "version": format!("{name} 1.2.3"), "connections": 50, "pipeline": 1,
        "mode": "closed", "rate": null, "protocol": "resp2", "distribution": "uniform",
        "keys": 1_000_000, "key_bytes": 14, "value_bytes": 64, "reads_per_write": 10,
        "generator_threads": 2, "pinned": false, "window_s": 2.0, "samples": 1_000,
        "p50_us": 200.0, "p90_us": 250.0, "p99_us": 300.0, "p999_us": 1_700.0,
        "p9999_us": 5_000.0, "max_us": 8_000.0, "percentile_curve_ns": curve(2e5),
        "cpu_us_per_op": 4.8, "user_us_per_op": 0.6, "sys_us_per_op": 4.2,
        "generator_us_per_op": 4.0, "rss_mb": 150.0, "errors": 0, "saturated": null,
        "axis": "base", "rounds": [],
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        row[field.as_str()] = value.clone();
    }
    with_rate(row, ops)
}

/// Results of `wire` on every axis.
pub(super) fn wire() -> Value {
    let mut rows = Vec::new();
    let mut add = |change: Value, ours: f64, redis: f64| {
        rows.push(server("shardkeep", ours, &change));
        rows.push(server("redis", redis, &change));
        let mut echo = server("echo", ours * 1.1, &change);
        echo["reads_per_write"] = json!(0);
        rows.push(echo);
    };
    add(json!({}), 200e3, 150e3);
    add(json!({"pipeline": 16}), 1.4e6, 450e3);
    add(json!({"axis": "pipeline", "pipeline": 256}), 3e6, 700e3);
    add(
        json!({"axis": "connections", "connections": 1_000}),
        190e3,
        120e3,
    );
    add(
        json!({"axis": "distribution", "distribution": "zipf"}),
        210e3,
        152e3,
    );
    add(
        json!({"axis": "protocol", "protocol": "resp3"}),
        205e3,
        151e3,
    );
    for (rate, saturated) in [
        (50e3, Value::Null),
        (150e3, json!("server")),
        (300e3, json!("generator")),
    ] {
        let change = json!({
            "axis": "rate", "mode": "open-poisson", "rate": rate, "saturated": saturated,
        });
        add(change, 50e3, 50e3);
    }
    file("wire", &rows)
}

/// Results of `durable`, every part.
pub(super) fn durable() -> Value {
    let spread = |value: f64| json!({"median": value, "min": value * 0.9, "max": value * 1.1});
    let line = |part: &str, who: &str, what: &str, ops: f64| {
        json!({
            "kind": "line", "part": part, "who": who, "version": format!("{who} 1"), "what": what,
            "clients": 50, "pipeline": 1, "window_us": null, "entries": 1_000, "value_bytes": 64,
            "ops_per_s": spread(ops), "cpu_us_per_op": spread(3.0), "memory_mb": null,
            "latency": {"samples": 9, "p50_us": 1e8 / ops, "p99_us": 1e9 / ops, "p999_us": 1e10 / ops},
            "seconds": null, "wrong": 0, "rounds": [],
        })
    };
    let mut rows = vec![json!({
        "kind": "disk", "file_system": "ext4 on <disk>", "sync_us": spread(120.0),
    })];
    for (part, rival) in [("embedded", "redb"), ("wire", "redis")] {
        rows.push(line(part, "shardkeep", "always", 50e3));
        rows.push(line(part, rival, "always", 40e3));
    }
    for window in [0, 100] {
        let mut row = line("window", "shardkeep", "always", 45e3);
        row["window_us"] = json!(window);
        rows.push(row);
    }
    for what in ["no snapshot", "snapshots"] {
        rows.push(line("snapshot", "shardkeep", what, 60e3));
        let mut row = line("recovery", "shardkeep", what, 60e3);
        row["ops_per_s"] = Value::Null;
        row["latency"] = Value::Null;
        row["seconds"] = spread(1.5);
        rows.push(row);
    }
    for (asked, reached) in [(json!(1.0), json!(true)), (json!(1.3), json!(false))] {
        rows.push(json!({
            "kind": "bar", "part": "wire", "of": "always, 50 x 1", "figure": "ops_per_s",
            "against": "redis", "asked": asked, "ratio": spread(1.25), "reached": reached,
        }));
    }
    file("durable", &rows)
}

/// Results of `growth`.
pub(super) fn growth() -> Value {
    let row = |engine: &str, longest: u64| {
        json!({
            "engine": engine, "keys": 1_000_000, "runs": 5, "shards": 64, "inserts_per_s": 2.5e6,
            "samples": 1_000_000, "p50_ns": 230, "p90_ns": 350, "p99_ns": 570, "p999_ns": 751,
            "p9999_ns": 151_423, "max_ns": longest, "longest_ns": longest, "longest_at": 900_000,
            "longest_so_far": [[1, 100], [1_000, 9_000], [900_000, longest]],
            "percentile_curve_ns": curve(230.0),
        })
    };
    file(
        "growth",
        &[row("owners-lend", 220_000), row("dashmap", 64_000_000)],
    )
}

/// Results of `memory`.
pub(super) fn memory() -> Value {
    let row = |server: &str, each: f64| {
        json!({
            "server": server, "version": "1", "keys": 1_000_000, "key_bytes": 14,
            "value_bytes": 64, "empty_bytes": 4_000_000, "loaded_bytes": 130_000_000,
            "bytes_per_key": each,
        })
    };
    file("memory", &[row("shardkeep", 110.0), row("redis", 140.0)])
}

/// Results of `connections`.
pub(super) fn connections() -> Value {
    let row = |server: &str, each: f64| {
        json!({
            "server": server, "version": "1", "idle": 10_000, "active": 500, "opened": 10_000,
            "alive": 10_000, "bytes_per_connection": each, "ops_per_s": 150e3, "samples": 100,
            "p50_us": 900.0, "p90_us": 950.0, "p99_us": 2_000.0, "p999_us": 4_000.0,
            "p9999_us": 4_500.0, "max_us": 5_000.0, "errors": 0,
        })
    };
    file(
        "connections",
        &[row("shardkeep", 700.0), row("redis", 9_000.0)],
    )
}
