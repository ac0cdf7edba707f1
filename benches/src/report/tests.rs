//! The page as a whole, from invented results.

use std::fs;

use serde_json::{Value, json};

use super::{Report, input, page, sample};

/// Elements of HTML that have no end tag, and attributes whose values may hold anything.
const VOID: [&str; 1] = ["meta"];

fn page_of(files: &[Value]) -> String {
    let runs: Vec<input::Run> = files
        .iter()
        .enumerate()
        .map(|(index, file)| input::run(&format!("{index}.json"), &file.to_string()).unwrap())
        .collect();
    page::page(&runs)
}

/// Every tag is closed, in order, and every attribute is quoted.
fn check_tags(html: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let tail = &rest[start + 1..];
        let end = tail.find('>').expect("a tag that ends");
        let tag = &tail[..end];
        rest = &tail[end + 1..];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|character| character.is_ascii_alphanumeric())
            .collect();
        if tag.starts_with('!') {
            continue;
        }
        assert!(!name.is_empty(), "<{tag}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "<{tag}>");
        } else if !tag.ends_with('/') {
            assert!(!VOID.contains(&name.as_str()), "<{tag}> is never closed");
            if name == "script" || name == "style" {
                let end = format!("</{name}>");
                rest = &rest[rest.find(&end).expect("its end") + end.len()..];
            } else {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

/// A page that any result must give: whole, finite, and complete in itself.
fn check(html: &str) {
    check_tags(html);
    for odd in [
        "NaN", "Infinity", "http://", "https://", "src=", "@import", "url(h",
    ] {
        assert!(!html.contains(odd), "{odd} in the page");
    }
    // The only references are to places of the page itself.
    for reference in html.split("href=\"").skip(1) {
        assert!(reference.starts_with('#'), "{}", &reference[..20]);
    }
    for coordinate in html.split("\"M").skip(1) {
        let data = coordinate.split('"').next().unwrap_or_default();
        assert!(!data.contains("inf"), "{data}");
    }
}

#[test]
fn every_command_has_its_section_and_every_question_its_figure() {
    let html = page_of(&sample::all());
    check(&html);
    let wanted = [
        "How to read this",
        "In short",
        "Maps in one process",
        "A growing map",
        "Servers over TCP",
        "Memory of a server",
        "Idle connections",
        "command line",
        "Versions: dashmap 6.2.1",
        "How does throughput grow with threads?",
        "What do batches gain?",
        "What do writes cost?",
        "What do larger values cost?",
        "What does a larger map cost?",
        "What do popular keys do to it?",
        "Into how many shards should ours be divided?",
        "How long does one call take, from the usual to the worst?",
        "What does a write window buy?",
        "And what does it cost in latency?",
        "What if a read and a write must be one step?",
        "What do mixes that others publish ask of it?",
        "How long may one insert stop its caller while the map grows?",
        "How fast does it fill?",
        "How many operations does each server answer?",
        "How much processor time does an operation take?",
        "What do pipelines gain?",
        "How many connections can it bear?",
        "What does RESP3 cost?",
        "How long does a reply take, from the usual to the worst?",
        "How long does a reply usually take as the rate rises? (p50)",
        "How long does the slowest in a hundred take? (p99)",
        "How long does the slowest in a thousand take? (p99.9)",
        "Writes that are kept",
        "What was asked, and what it came to",
        "How many writes of a library are on the disk in a second?",
        "How many writes does a server acknowledge under the same promise?",
        "What does a write window buy where a sync comes before the answer?",
        "How long does the slowest in a hundred take while snapshots are taken?",
        "How long from the start of a server to its first answer?",
        "How much memory does a key take?",
        "What does an idle connection cost?",
    ];
    for text in wanted {
        assert!(html.contains(&format!(">{text}")), "no {text}");
    }
    assert!(!html.contains("Left out"), "something was left out");
    assert!(html.contains("2026-11-20 23:54 UTC"), "the date");
}

#[test]
fn the_page_says_where_this_design_loses() {
    let html = page_of(&[sample::embedded(), sample::growth()]);
    let wanted = [
        "owners-lend loses at 1 of 3 points; ahead of it, with ranges that do not overlap: \
         at 2 threads: dashmap by 1.40x.",
        "<span class=\"place\">at 1 thread</span>: dashmap by 1.22x",
        "Its worst point: dashmap is ahead of owners-lend by 1.50x (4,096-byte values).",
        "The longest insert of owners-lend takes the least time here; ahead of the next: \
         dashmap by 291x.",
        "dashmap, not atomic",
    ];
    for text in wanted {
        assert!(html.contains(text), "no {text}");
    }
    assert!(
        !html.contains("at transfer"),
        "what is not atomic is no rival"
    );
}

#[test]
fn the_base_is_told_in_single_operations_and_in_the_largest_batches() {
    let html = page_of(&[sample::embedded()]);
    let told: Vec<&str> = html
        .split("<div class=\"point\"><h3>")
        .skip(1)
        .filter_map(|table| table.split("</h3>").next())
        .collect();
    let rest = "1,000,000 keys, 64-byte values, 95\u{a0}% reads, uniform";
    let expected = ["single operations", "batches of 512"];
    assert_eq!(
        told,
        expected.map(|batch| format!("2 threads, {batch}, {rest}"))
    );
}

#[test]
fn text_of_results_stays_text() {
    let html = page_of(&sample::all());
    assert!(html.contains("An Invented CPU &lt;script&gt;"));
    assert!(html.contains("&lt;b&gt;&amp;&quot;file&quot;"));
    assert!(html.contains("needs &lt;9&gt; GB"));
    let mut file = sample::embedded();
    file["results"][0]["engine"] = json!("</svg><script>alert(1)</script>");
    check(&page_of(&[file]));
}

#[test]
fn what_is_absent_is_said() {
    for file in sample::all() {
        let html = page_of(std::slice::from_ref(&file));
        check(&html);
        assert_eq!(html.matches("there are no results of").count(), 5);
    }
    let mut old = sample::embedded();
    for row in old["results"].as_array_mut().unwrap() {
        let row = row.as_object_mut().unwrap();
        for field in [
            "axis",
            "atomic",
            "workload",
            "window_us",
            "percentile_curve_ns",
        ] {
            row.remove(field);
        }
    }
    let html = page_of(&[old]);
    check(&html);
    assert!(html.contains("Left out, since these results have no rows for it: latency by"));
}

#[test]
fn empty_zero_and_lonely_results_can_be_shown() {
    for file in sample::all() {
        let mut empty = file.clone();
        empty["results"] = json!([]);
        let mut lonely = file.clone();
        lonely["results"] = json!([file["results"][0]]);
        let mut zero = file.clone();
        for row in zero["results"].as_array_mut().unwrap() {
            for (_, value) in row.as_object_mut().unwrap() {
                if value.is_f64() {
                    *value = json!(0.0);
                }
            }
        }
        for odd in [empty, lonely, zero] {
            check(&page_of(&[odd]));
        }
    }
}

#[test]
fn tables_compare_with_the_default_of_ours_not_with_its_best() {
    let mut file = sample::embedded();
    let rows = file["results"].as_array_mut().unwrap();
    let mut best = rows[0].clone();
    best["shards"] = json!(8);
    for field in ["ops_per_s", "ops_per_s_min", "ops_per_s_max"] {
        best[field] = json!(28e6);
    }
    rows.insert(1, best);
    let html = page_of(&[file]);
    assert!(
        html.contains("<td>2.80x</td>"),
        "the best against the default"
    );
    assert!(
        html.contains("<td>1.40x</td>"),
        "dashmap against the default"
    );
}

#[test]
fn the_server_that_echoes_stands_beside_the_others() {
    let html = page_of(&[sample::wire()]);
    let questions = [
        "What do pipelines gain?",
        "How many connections can it bear?",
        "How long does the slowest in a hundred take? (p99)",
    ];
    for question in questions {
        assert_eq!(html.matches(&format!("<h3>{question}")).count(), 1);
    }
}

#[test]
fn what_was_asked_of_durability_and_not_reached_is_said_first() {
    let html = page_of(&[sample::durable()]);
    assert!(html.contains("1 of what was asked was not reached"));
    assert!(html.contains("1.25x of redis, asked 1.30x"));
    assert!(html.contains("1 of what was asked was reached"));
    assert!(html.contains("ext4 on &lt;disk&gt;"));
}

#[test]
fn wrong_values_are_shouted() {
    let mut file = sample::wire();
    file["results"][1]["errors"] = json!(3);
    let html = page_of(&[file]);
    assert!(html.contains("redis gave 3 wrong replies: its figures prove nothing."));
}

#[test]
fn the_command_reads_a_directory_and_names_the_file_that_is_wrong() {
    let directory = std::env::temp_dir().join(format!("shardkeep-report-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let report = Report {
        dir: directory.clone(),
        out: None,
    };
    let without = report.run().unwrap_err().to_string();
    assert!(without.contains("no results"), "{without}");
    fs::write(directory.join("growth.json"), sample::growth().to_string()).unwrap();
    fs::write(directory.join("notes.txt"), "not a result").unwrap();
    report.run().unwrap();
    check(&fs::read_to_string(directory.join("index.html")).unwrap());
    fs::write(directory.join("odd.json"), "{\"command\": 1}").unwrap();
    let odd = format!("{:#}", report.run().unwrap_err());
    assert!(odd.contains("odd.json: command: invalid type"), "{odd}");
    fs::remove_dir_all(&directory).unwrap();
}
