//! The power goes under eight writers, again and again.
//!
//! 1. With `always` nothing acknowledged may be missing; with `interval` nothing that was acknowledged an
//!    interval before the cut, and [`SLACK`] for a busy machine.
//! 2. After the cut no write is acknowledged with `always`, and reads of what was synced go on.

use std::io;
use std::time::{Duration, Instant};

use crate::clock::{self, PATIENCE};
use crate::random::Random;
use crate::writers::{Crew, Met, Tally};

use super::Setting;
use super::bench::{ensure, kill, open, say};
use super::volume::{Cut, Volume};

/// MiB of the file system.
const VOLUME_MIB: u64 = 256;

/// Shortest and longest time until the cut, in milliseconds.
const LIFE_MS: (usize, usize) = (20, 400);

/// With `interval`: the interval, and what it is called.
const INTERVAL: (Duration, &str) = (Duration::from_millis(100), "100ms");

/// How late a sync may be on a busy machine.
const SLACK: Duration = Duration::from_millis(250);

pub(super) fn power(setting: &Setting) -> io::Result<()> {
    for sync in ["always", "interval"] {
        let volume = Volume::new(VOLUME_MIB)?;
        let (mut crew, mut random) = (Crew::new(setting.seed), Random::new(setting.seed));
        let (mut sum, mut met) = (Tally::default(), [0; 3]);
        let mut earliest = Duration::ZERO;
        for number in 0..setting.cuts {
            let cut = random.one(&[Cut::Nothing, Cut::JournalKept, Cut::Everything]);
            let one = one(setting, sync, cut, &volume, &mut crew, &mut random);
            let (tally, cut_at, ends) = one.map_err(|error| {
                let seed = setting.seed;
                io::Error::other(format!(
                    "--seed {seed}, {sync}, cut {number} ({cut:?}): {error}"
                ))
            })?;
            sum.add(tally);
            if let Some(since) = tally.missing_since {
                // What was acknowledged after the cut is missing too.
                earliest = earliest.max(cut_at.saturating_duration_since(since));
            }
            for end in ends {
                met[match end {
                    Met::Gone => 0,
                    Met::Refused(_) => 1,
                    Met::Lost(_) => 2,
                }] += 1;
            }
        }
        say(format_args!(
            "{sync}: {} cuts, {} changes acknowledged, {} of them missing as promised (from {earliest:.1?} \
             before the cut at most), {} there without acknowledgement; writers ended {} refused, {} lost",
            setting.cuts, sum.acked, sum.missing, sum.unacked, met[1], met[2]
        ))?;
    }
    Ok(())
}

fn one(
    setting: &Setting,
    sync: &str,
    cut: Cut,
    volume: &Volume,
    crew: &mut Crew,
    random: &mut Random,
) -> io::Result<(Tally, Instant, Vec<Met>)> {
    let dir = volume.path().join("store");
    let commit = random.one(&["auto", "thread"]);
    let flags = match sync {
        "always" => ["--sync", sync, "--commit", commit],
        _ => ["--sync", sync, "--sync-interval", INTERVAL.1],
    };
    let mut server = open(setting, &dir, &flags)?;
    let life = Duration::from_millis(random.between(LIFE_MS.0, LIFE_MS.1) as u64);
    let saves = random.percent(30);
    let (cut_at, met) = crew.write(&mut server, |server| {
        clock::pass(life);
        if saves {
            server.client()?.call(&["BGSAVE"])?;
        }
        let cut_at = clock::now();
        volume.cut(cut)?;
        Ok(cut_at)
    })?;
    ensure(
        !met.contains(&Met::Gone),
        format!("the server went with the disk: {:?}", server.output()),
    )?;
    kill(&mut server)?;
    volume.remount()?;
    let mut server = open(setting, &dir, &flags)?;
    let promised_until = match sync {
        "always" => None,
        _ => cut_at.checked_sub(INTERVAL.0 + SLACK),
    };
    let mut client = server.client()?.with_patience(PATIENCE);
    let tally = crew.verify(&mut client, promised_until)?;
    kill(&mut server)?;
    Ok((tally, cut_at, met))
}
