//! Lines, and what was asked of them, for people.

use super::outcome::{Bar, Figure, Line};
use crate::figures::Spread;
use crate::table::Table;

/// What a column says of a line, if it says anything.
type Cell = fn(&Line) -> Option<String>;

/// The lines of one part, for people; columns in which nothing stands are left out.
pub(super) fn table(lines: &[Line]) -> String {
    let columns: [(&str, Cell); 17] = [
        ("who", |line| Some(line.case.who.to_owned())),
        ("what", |line| Some(line.case.what.clone())),
        ("clients", |line| Some(line.case.clients.to_string())),
        ("pipeline", |line| Some(line.case.pipeline.to_string())),
        ("window us", |line| Some(line.case.window_us?.to_string())),
        ("kop/s", |line| kops(line, |ops| ops.median)),
        ("min", |line| kops(line, |ops| ops.min)),
        ("max", |line| kops(line, |ops| ops.max)),
        ("p50 us", |line| Some(micros(line.latency()?.p50_us))),
        ("p99 us", |line| Some(micros(line.latency()?.p99_us))),
        ("p99.9 us", |line| Some(micros(line.latency()?.p999_us))),
        ("cpu us", |line| {
            let cpu = line.spread(Figure::CpuUsPerOp)?;
            Some(format!("{:.2}", cpu.median))
        }),
        ("MB", |line| {
            let memory = line.spread(Figure::MemoryMb)?;
            Some(format!("{:.1}", memory.median))
        }),
        ("s", |line| time(line, |seconds| seconds.median)),
        ("s min", |line| time(line, |seconds| seconds.min)),
        ("s max", |line| time(line, |seconds| seconds.max)),
        ("wrong", |line| Some(line.wrong.to_string())),
    ];
    let shown = columns
        .iter()
        .filter(|(_, cell)| lines.iter().any(|line| cell(line).is_some()));
    let mut table = Table::new(shown.clone().map(|(heading, _)| *heading));
    for line in lines {
        let cells = shown.clone().map(|(_, cell)| cell(line));
        table.row(cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())));
    }
    table.text()
}

fn kops(line: &Line, of: fn(Spread) -> f64) -> Option<String> {
    let ops = of(line.spread(Figure::OpsPerS)?);
    Some(format!("{:.2}", ops / 1e3))
}

fn time(line: &Line, of: fn(Spread) -> f64) -> Option<String> {
    let seconds = of(line.spread(Figure::Seconds)?);
    Some(format!("{seconds:.3}"))
}

fn micros(value: f64) -> String {
    format!("{value:.0}")
}

/// What was asked beside what was reached.
pub(super) fn bars(bars: &[Bar]) -> String {
    let mut table = Table::new([
        "of", "figure", "against", "ratio", "min", "max", "asked", "reached",
    ]);
    for bar in bars {
        let sign = if bar.figure.more_is_better() {
            ">="
        } else {
            "<="
        };
        let digits = |ratio: f64| format!("{ratio:.2}");
        table.row([
            bar.of.clone(),
            bar.figure.label().to_owned(),
            bar.against.clone(),
            digits(bar.ratio.median),
            digits(bar.ratio.min),
            digits(bar.ratio.max),
            bar.asked
                .map_or_else(|| "-".to_owned(), |asked| format!("{sign} {asked:.2}")),
            match bar.reached {
                None => "-",
                Some(true) => "yes",
                Some(false) => "NO",
            }
            .to_owned(),
        ]);
    }
    table.text()
}
