//! Which points are measured, in which rhythm. Pure: it starts and measures nothing.
//!
//! 1. A sweep moves one thing; the other axes stay at those of a base point.
//! 2. A point that is part of several sweeps is measured once, as `base`.

use std::time::Duration;

use serde::Serialize;

use super::arrivals::{Offered, RATE_MAX, Spacing};
use super::generator::Pace;
use super::protocol::Protocol;
use crate::keys::Distribution;
use crate::server::ServerName;

/// The points this project judges itself by: connections and pipeline.
const BASE: [(usize, usize); 4] = [FIRST, WIDE, (1, 1), (1_000, 16)];
/// Nearly all of it is the kernel's TCP; connections and rates are swept from here.
const FIRST: (usize, usize) = (50, 1);
/// Mostly the server's own work; distributions and protocols are compared here.
const WIDE: (usize, usize) = (50, 16);
/// Pipelines swept at 50 connections, beside those of [`BASE`].
const PIPELINES: [usize; 3] = [4, 64, 256];
/// Connections swept at pipeline 1, beside those of [`BASE`].
const CONNECTIONS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Offered rates, as shares of the best closed-loop rate of the run: denser where curves bend.
const RATE_SHARES: [f64; 10] = [0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2];

/// About what opening and closing a connection takes, for the announced duration.
const CONNECT: Duration = Duration::from_micros(150);

/// What a point is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Axis {
    /// Where the sweeps start from
    Base,
    Pipeline,
    Connections,
    Rate,
    Distribution,
    Protocol,
    /// Asked for by itself
    Point,
}

/// What is asked of every server, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) axis: Axis,
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    pub(super) pace: Pace,
    pub(super) distribution: Distribution,
    /// The version of RESP, for servers that speak it.
    pub(super) resp: Protocol,
}

impl Point {
    const fn closed(axis: Axis, (connections, pipeline): (usize, usize)) -> Self {
        Self {
            axis,
            connections,
            pipeline,
            pace: Pace::Closed,
            distribution: Distribution::Uniform,
            resp: Protocol::Resp2,
        }
    }

    /// Whether the point says anything about a server: one without keys has no distribution, and
    /// one with another protocol has no version of RESP.
    pub(super) const fn concerns(&self, name: ServerName) -> bool {
        match self.axis {
            Axis::Distribution => name.stores(),
            Axis::Protocol => name.speaks_resp(),
            Axis::Base | Axis::Pipeline | Axis::Connections | Axis::Rate | Axis::Point => true,
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let Self {
            connections,
            pipeline,
            distribution,
            resp,
            ..
        } = self;
        let pace = match self.pace {
            Pace::Closed => "closed loop".to_owned(),
            Pace::Open(Offered { rate, spacing }) => {
                let spacing = match spacing {
                    Spacing::Constant => "constant",
                    Spacing::Poisson => "Poisson",
                };
                format!("open loop, {rate} op/s, {spacing} arrivals")
            }
        };
        format!(
            "{connections} connections, pipeline {pipeline}, {pace}, {distribution}, RESP in {resp}"
        )
    }

    /// For names of files.
    pub(super) fn file_name(&self, name: ServerName) -> String {
        let Self {
            connections,
            pipeline,
            distribution,
            ..
        } = self;
        let server = name.label();
        let protocol = name.protocol(self.resp);
        let mode = mode(self.pace);
        let rate = match self.pace {
            Pace::Closed => String::new(),
            Pace::Open(offered) => format!("-{}", offered.rate),
        };
        format!("{server}-{connections}x{pipeline}-{mode}{rate}-{distribution}-{protocol}")
    }
}

/// As written in results.
pub(super) const fn mode(pace: Pace) -> &'static str {
    match pace {
        Pace::Closed => "closed",
        Pace::Open(offered) => match offered.spacing {
            Spacing::Constant => "open-constant",
            Spacing::Poisson => "open-poisson",
        },
    }
}

/// How often and how long each point is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rhythm {
    pub(super) rounds: u32,
    pub(super) window: Duration,
    pub(super) warm_up: Duration,
}

impl Rhythm {
    const fn new(rounds: u32, window_ms: u64, warm_up_ms: u64) -> Self {
        Self {
            rounds,
            window: Duration::from_millis(window_ms),
            warm_up: Duration::from_millis(warm_up_ms),
        }
    }
}

/// What one run measures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) points: Vec<Point>,
    /// Whether offered rates are swept afterwards, up to saturation.
    pub(super) rates: bool,
    pub(super) rhythm: Rhythm,
}

impl Plan {
    /// One point, thoroughly.
    pub(super) fn point(point: Point) -> Self {
        Self {
            points: vec![point],
            rates: false,
            rhythm: Rhythm::new(5, 3_000, 500),
        }
    }

    /// The points this project judges itself by.
    pub(super) fn bars() -> Self {
        Self {
            points: BASE.map(|point| Point::closed(Axis::Base, point)).into(),
            ..Self::point(Point::closed(Axis::Base, FIRST))
        }
    }

    /// The two base points that differ most.
    pub(super) fn quick() -> Self {
        Self {
            points: [FIRST, WIDE]
                .map(|point| Point::closed(Axis::Base, point))
                .into(),
            rates: false,
            rhythm: Rhythm::new(3, 1_000, 200),
        }
    }

    /// The base points and all sweeps.
    pub(super) fn suite() -> Self {
        let mut points = Self::bars().points;
        points.extend(PIPELINES.map(|pipeline| Point::closed(Axis::Pipeline, (FIRST.0, pipeline))));
        points.extend(
            CONNECTIONS.map(|connections| Point::closed(Axis::Connections, (connections, FIRST.1))),
        );
        points.extend(
            [Distribution::Zipf, Distribution::HotKey].map(|distribution| Point {
                distribution,
                ..Point::closed(Axis::Distribution, WIDE)
            }),
        );
        points.push(Point {
            resp: Protocol::Resp3,
            ..Point::closed(Axis::Protocol, WIDE)
        });
        Self {
            points,
            rates: true,
            rhythm: Rhythm::new(3, 2_000, 500),
        }
    }

    /// Windows over all rounds; servers that saturate early make them fewer.
    pub(super) fn windows(&self, servers: &[ServerName]) -> usize {
        let concerned =
            |point: &Point| servers.iter().filter(|&&name| point.concerns(name)).count();
        let closed: usize = self.points.iter().map(concerned).sum();
        let open = if self.rates {
            RATE_SHARES.len() * servers.len()
        } else {
            0
        };
        (closed + open) * self.rhythm.rounds as usize
    }

    /// How long measuring takes, without starting and loading.
    pub(super) fn duration(&self, servers: &[ServerName]) -> Duration {
        let one = self.rhythm.warm_up + self.rhythm.window;
        let measuring = one.as_secs_f64() * self.windows(servers) as f64;
        let connections: usize = self.points.iter().map(|point| point.connections).sum();
        let connecting = CONNECT.as_secs_f64()
            * (connections * servers.len() * self.rhythm.rounds as usize) as f64;
        Duration::from_secs_f64(measuring + connecting)
    }
}

/// Where rates are swept: its closed loop gives the scale.
pub(super) fn is_scale(point: &Point) -> bool {
    *point == Point::closed(Axis::Base, FIRST)
}

/// The points of the sweep over rates, if `best` is the best closed-loop rate.
pub(super) fn rates(best: f64) -> Vec<Point> {
    let mut rates: Vec<u64> = RATE_SHARES
        .iter()
        .map(|share| legible(share * best))
        .collect();
    rates.dedup();
    rates
        .into_iter()
        .map(|rate| Point {
            pace: Pace::Open(Offered {
                rate,
                spacing: Spacing::Poisson,
            }),
            ..Point::closed(Axis::Rate, FIRST)
        })
        .collect()
}

/// Two digits, so that curves of two runs often have the same rates.
fn legible(rate: f64) -> u64 {
    let step = 10_f64.powf(rate.max(1.0).log10().floor() - 1.0);
    ((rate / step).round() * step).clamp(1.0, RATE_MAX as f64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SERVERS: [ServerName; 4] = [
        ServerName::Shardkeep,
        ServerName::Redis,
        ServerName::Memcached,
        ServerName::Echo,
    ];

    #[test]
    fn the_presets_end_in_the_time_they_promise() {
        let minutes = |plan: Plan| plan.duration(&SERVERS).as_secs_f64() / 60.0;
        assert!(minutes(Plan::suite()) < 13.0, "{}", minutes(Plan::suite()));
        assert!(minutes(Plan::quick()) < 0.7, "{}", minutes(Plan::quick()));
        assert!(minutes(Plan::bars()) < 5.0, "{}", minutes(Plan::bars()));
    }

    #[test]
    fn every_point_of_the_suite_has_a_name_of_its_own() {
        let mut points = Plan::suite().points;
        points.extend(rates(207_000.0));
        let names: HashSet<String> = points
            .iter()
            .map(|point| point.file_name(ServerName::Redis))
            .collect();
        assert_eq!(names.len(), points.len());
        assert_eq!(points.iter().filter(|point| is_scale(point)).count(), 1);
    }

    #[test]
    fn only_servers_that_a_point_says_something_about_are_asked() {
        let concerned = |axis| {
            let point = Point::closed(axis, WIDE);
            SERVERS.map(|name| point.concerns(name))
        };
        assert_eq!(concerned(Axis::Base), [true, true, true, true]);
        assert_eq!(concerned(Axis::Distribution), [true, true, true, false]);
        assert_eq!(concerned(Axis::Protocol), [true, true, false, false]);
    }

    #[test]
    fn offered_rates_go_beyond_the_best_closed_loop_and_are_legible() {
        let swept: Vec<u64> = rates(207_345.0)
            .iter()
            .map(|point| match point.pace {
                Pace::Open(offered) => offered.rate,
                Pace::Closed => 0,
            })
            .collect();
        assert_eq!(swept.first(), Some(&21_000));
        assert_eq!(swept.last(), Some(&250_000));
        assert!(swept.is_sorted());
        for (rate, expected) in [(0.0, 1), (7.4, 7), (149_999.0, 150_000), (1e12, RATE_MAX)] {
            assert_eq!(legible(rate), expected);
        }
    }
}
