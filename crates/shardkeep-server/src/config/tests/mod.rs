//! Sentences over data: what is given where, and what comes of it. What is refused is in `refused`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use super::outside::Contents;
use super::resolve::is_service_link;
use super::settings::Settings;
use super::table::{Needs, SETTINGS};
use super::*;

mod refused;

/// A machine made of data.
#[derive(Default)]
struct Given {
    variables: Vec<(String, String)>,
    files: BTreeMap<String, Vec<u8>>,
    world_readable: bool,
}

impl Outside for Given {
    fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let ours = self.variables.iter();
        ours.filter(|(name, _)| name.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Contents> {
        let name = path.to_string_lossy().into_owned();
        let bytes = self.files.get(&name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Contents {
            bytes: bytes[..bytes.len().min(bytes_max + 1)].to_vec(),
            world_readable: self.world_readable,
        })
    }
}

impl Given {
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.to_owned(), bytes.to_vec());
        self
    }
}

fn nothing() -> Given {
    Given::default()
}

/// The outcome of `shardkeep serve FLAGS` on a machine.
fn resolve(flags: &str, given: &Given) -> Result<Resolved, ConfigError> {
    let arguments = ["shardkeep", "serve"]
        .into_iter()
        .chain(flags.split_whitespace());
    let Command::Serve(flags) = Cli::try_parse_from(arguments).unwrap().command else {
        panic!("another command than serve");
    };
    Resolved::new(&flags, given)
}

fn settings(flags: &str, given: &Given) -> Settings {
    match resolve(flags, given) {
        Ok(resolved) => resolved.settings(),
        Err(error) => panic!("{flags:?} is refused: {error}"),
    }
}

fn refusal(flags: &str, given: &Given) -> String {
    match resolve(flags, given) {
        Ok(resolved) => panic!("{flags:?} is taken: {:?}", resolved.settings()),
        Err(error) => error.to_string(),
    }
}

/// The file `c.toml` with this text, and nothing else.
fn toml(text: &str) -> Given {
    nothing().file("c.toml", text.as_bytes())
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(settings("", &nothing()), Settings::default());
}

#[test]
fn every_setting_can_be_given_in_three_places_alike() {
    let cases = [
        ("bind", "127.0.0.1:0", "\"127.0.0.1:0\""),
        (
            "bind",
            "127.0.0.1:1,[::1]:2",
            "[\"127.0.0.1:1\", \"[::1]:2\"]",
        ),
        ("unix_socket", "run/s.sock", "\"run/s.sock\""),
        ("admin", "off", "\"off\""),
        ("admin", "[::1]:0", "'[::1]:0'"),
        ("log_format", "json", "\"json\""),
        ("shards", "64", "64"),
        ("owners", "3", "\"3\""),
        ("reactors", "16", "0x10"),
        ("handover", "mail", "\"mail\""),
        ("write_window", "100us", "'100us'"),
        ("dir", "data", "\"data\""),
        ("sync", "always", "\"always\""),
        ("sync_interval", "200ms", "\"200ms\""),
        ("commit", "thread", "\"thread\""),
        ("snapshot_log_bytes", "0", "0"),
        ("compress_snapshots", "yes", "\"yes\""),
        ("disk_reserve", "0", "0"),
        ("disk_reserve", "32mb", "\"32mb\""),
        ("overload", "reject", "\"reject\""),
        ("databases", "64", "64"),
        ("max_clients", "500", "5_00"),
        ("max_memory", "512mb", "\"512mb\""),
        ("max_memory", "1000", "1000"),
        ("deadline", "500ms", "\"500ms\""),
        ("idle_timeout", "60", "60"),
        ("frame_timeout", "5s", "\"5s\""),
        ("login_timeout", "0", "\"0\""),
        ("login_delay", "500ms", "\"500ms\""),
        ("output_timeout", "90", "90"),
        ("drain_timeout", "2m", "\"2m\""),
        ("pre_stop_delay", "3s", "\"3s\""),
        ("stall_bound", "500ms", "\"500ms\""),
        ("slowlog_slower_than", "never", "\"never\""),
        ("slowlog_slower_than", "0", "0"),
        ("slowlog_max_len", "7", "7"),
        ("password_file", "pw", "\"pw\""),
    ];
    for (name, text, in_file) in cases {
        let row = table::find(name).unwrap();
        let needs = match row.needs {
            Needs::Nothing => "",
            Needs::Log | Needs::SyncInterval => "--dir d",
        };
        let machine = || nothing().file("pw", b"hunter2\n");
        let flag = format!("{needs} --{}={text}", name.replace('_', "-"));
        let flag = settings(&flag, &machine());
        let variable = format!("SHARDKEEP_{}", name.to_ascii_uppercase());
        let variable = settings(needs, &machine().variable(&variable, text));
        let file = machine().file("c.toml", format!("{name} = {in_file}").as_bytes());
        let file = settings(&format!("--config c.toml {needs}"), &file);
        assert_ne!(flag, settings(needs, &nothing()), "{name}");
        assert_eq!(flag, variable, "{name}");
        assert_eq!(flag, file, "{name}");
    }
    for setting in SETTINGS {
        let is_tried = cases.iter().any(|(name, _, _)| *name == setting.name);
        assert!(is_tried, "{} is not in the table above", setting.name);
    }
}

#[test]
fn values_mean_what_they_say() {
    let all = settings(
        "--bind 127.0.0.1:1 --bind [::1]:2,127.0.0.1:3 --unix-socket s --admin 10.0.0.1:9 --log-format json --shards 8 --owners 8 \
         --reactors 2 --handover mail --write-window 1ms --dir data --sync interval \
         --sync-interval 20ms --commit thread --snapshot-log-bytes 64mb --compress-snapshots yes \
         --disk-reserve 128mb --overload reject --databases 3 --max-clients 7 --max-memory 2gb \
         --deadline 2 --idle-timeout 1m --frame-timeout 5 --login-timeout 4s --login-delay 1s --output-timeout 2m --drain-timeout 0 --pre-stop-delay 3s \
         --stall-bound 500ms --slowlog-slower-than 3ms --slowlog-max-len 0 --password-file pw",
        &nothing().file("pw", b"secret words\r\nnot this\n"),
    );
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let expected = Settings {
        bind: vec![
            address("127.0.0.1:1"),
            address("[::1]:2"),
            address("127.0.0.1:3"),
        ],
        unix_socket: Some("s".into()),
        admin: AdminAt::At(([10, 0, 0, 1], 9).into()),
        log_format: LogFormat::Json,
        shards: Some(8),
        owners: Some(8),
        reactors: Some(2),
        handover: Handover::Mail,
        write_window: Some(Duration::from_millis(1)),
        dir: Some("data".into()),
        sync: Sync::Interval,
        sync_interval: Duration::from_millis(20),
        commit: Commit::Thread,
        snapshot_log_bytes: 64 << 20,
        compress_snapshots: true,
        disk_reserve: Some(128 << 20),
        overload: Overload::Reject,
        databases: 3,
        max_clients: 7,
        max_memory: Some(2 << 30),
        deadline: Duration::from_secs(2),
        idle_timeout: Some(Duration::from_secs(60)),
        frame_timeout: Duration::from_secs(5),
        login_timeout: Some(Duration::from_secs(4)),
        login_delay: Duration::from_secs(1),
        output_timeout: Duration::from_secs(120),
        drain_timeout: Duration::ZERO,
        pre_stop_delay: Duration::from_secs(3),
        stall_bound: Duration::from_millis(500),
        slowlog_slower_than: Some(Duration::from_millis(3)),
        slowlog_max_len: 0,
        password: Secret::new(b"secret words"),
    };
    assert_eq!(all, expected);
    assert_eq!(settings("--max-memory 0", &nothing()).max_memory, None);
    assert_eq!(settings("--idle-timeout 0", &nothing()).idle_timeout, None);
    assert_eq!(
        settings("--login-timeout 0", &nothing()).login_timeout,
        None
    );
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let machine = nothing()
        .file("c.toml", b"max_clients = 1\ndeadline = 10\nshards = 2\n")
        .variable("SHARDKEEP_CONFIG", "c.toml")
        .variable("SHARDKEEP_MAX_CLIENTS", "2")
        .variable("SHARDKEEP_DEADLINE", "20");
    let settings = settings("--max-clients 3", &machine);
    assert_eq!(settings.max_clients, 3);
    assert_eq!(settings.deadline, Duration::from_secs(20));
    assert_eq!(settings.shards, Some(2));
    assert_eq!(settings.owners, None);
}

#[test]
fn a_flag_names_another_file_than_the_environment() {
    let machine = toml("shards = 2")
        .file("d.toml", b"shards = 4")
        .variable("SHARDKEEP_CONFIG", "d.toml");
    assert_eq!(settings("--config c.toml", &machine).shards, Some(2));
    assert_eq!(settings("", &machine).shards, Some(4));
}

#[test]
fn what_a_container_manager_says_of_a_service_is_no_setting() {
    let machine = nothing()
        .variable("SHARDKEEP_PORT", "tcp://10.0.0.1:6379")
        .variable("SHARDKEEP_PORT_6379_TCP", "tcp://10.0.0.1:6379")
        .variable("SHARDKEEP_PORT_6379_TCP_ADDR", "10.0.0.1")
        .variable("SHARDKEEP_SERVICE_HOST", "10.0.0.1")
        .variable("SHARDKEEP_SERVICE_PORT", "6379")
        .variable("SHARDKEEP_SERVICE_PORT_RESP", "6379")
        .variable("SHARDKEEP_MAIN_SERVICE_HOST", "10.0.0.2")
        .variable("HOME", "/nowhere");
    assert_eq!(settings("", &machine), Settings::default());
    for setting in SETTINGS {
        let variable = format!("SHARDKEEP_{}", setting.name.to_ascii_uppercase());
        assert!(!is_service_link(&variable), "{variable}");
    }
}

#[test]
fn a_unix_socket_alone_is_enough_to_listen_on() {
    assert!(
        settings("--bind none --unix-socket s", &nothing())
            .bind
            .is_empty()
    );
    let file = toml("bind = []\nunix_socket = 's'");
    assert!(settings("--config c.toml", &file).bind.is_empty());
}

#[test]
fn the_password_is_the_first_line_of_its_file() {
    let taken: [(&[u8], &[u8]); 5] = [
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"a\r\nb", b"a"),
        (b" a b ", b" a b "),
        (b"\xff\x00", b"\xff\x00"),
    ];
    for (bytes, password) in taken {
        let settings = settings("--password-file pw", &nothing().file("pw", bytes));
        assert!(settings.password.unwrap().matches(password), "{bytes:?}");
    }
    let refused: [&[u8]; 4] = [b"", b"\n", b"\r\n", b"\nsecond line"];
    for bytes in refused {
        let refusal = refusal("--password-file pw", &nothing().file("pw", bytes));
        assert_eq!(
            refusal,
            "password_file = pw (flag --password-file) is refused: its first line is empty"
        );
    }
    let longest = vec![b'x'; bounds::PASSWORD_BYTES_MAX];
    let machine = nothing().file("pw", &[&longest[..], b"\r\n"].concat());
    assert!(
        settings("--password-file pw", &machine)
            .password
            .unwrap()
            .matches(&longest)
    );
    let machine = nothing().file("pw", &[&longest[..], b"x\n"].concat());
    assert!(refusal("--password-file pw", &machine).ends_with("longer than 4096 bytes"));
}

#[test]
fn what_is_allowed_but_perhaps_not_meant_is_a_warning() {
    let warnings = |flags: &str, given: &Given| resolve(flags, given).unwrap().warnings;
    assert_eq!(warnings("", &nothing()), [""; 0]);
    let shared = Given {
        world_readable: true,
        ..nothing().file("pw", b"x")
    };
    assert!(warnings("--password-file pw", &shared)[0].contains("chmod 600"));
    assert!(warnings("--write-window 1ms", &nothing())[0].contains("handover = mail"));
    assert_eq!(warnings("--write-window 1ms --dir d", &nothing()), [""; 0]);
    assert!(warnings("--commit auto --dir d", &nothing())[0].contains("sync = always"));
    assert_eq!(
        warnings("--write-window 1ms --handover mail", &nothing()),
        [""; 0]
    );
}

#[test]
fn the_printed_form_is_a_file_that_gives_the_same_settings() {
    let all = "--bind 127.0.0.1:1,0.0.0.0:2 --unix-socket a'\"b --shards 8 --owners 2 \
               --reactors 2 --handover mail --write-window 1500us --max-clients 7 \
               --max-memory 1000 --deadline 1500ms --idle-timeout 90 --drain-timeout 0 \
               --password-file pw";
    let kept = "--dir d --sync always --commit thread --snapshot-log-bytes 1000 \
                --compress-snapshots yes --disk-reserve 2mb";
    for flags in ["", all, kept, "--bind none --unix-socket s", "--dir d"] {
        let machine = nothing().file("pw", b"x");
        let printed = resolve(flags, &machine).unwrap();
        let machine = machine.file("c.toml", printed.to_toml().as_bytes());
        let read_back = settings("--config c.toml", &machine);
        assert_eq!(read_back, printed.settings(), "{}", printed.to_toml());
    }
}

#[test]
fn the_printed_form_tells_where_each_setting_came_from() {
    let machine = toml("\nshards = 2").variable("SHARDKEEP_DEADLINE", "2");
    let printed = resolve("--config c.toml --max-clients 3", &machine)
        .unwrap()
        .to_toml();
    let lines = [
        "bind = [\"127.0.0.1:6379\"]            # default",
        "# unix_socket: no unix socket        # default",
        "shards = 2                           # file c.toml:2",
        "# owners: by the number of cores     # default",
        "max_clients = 3                      # flag --max-clients",
        "max_memory = \"0\"                     # default",
        "deadline = \"2s\"                      # environment SHARDKEEP_DEADLINE",
    ];
    for line in lines {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        );
    }
}

#[test]
fn the_command_line_is_sound_and_its_help_names_every_setting_and_default() {
    Cli::command().debug_assert();
    let help = Cli::try_parse_from(["shardkeep", "serve", "--help"]).unwrap_err();
    let help = help.to_string();
    let words: Vec<_> = help.split_whitespace().collect();
    let help = words.join(" ");
    for setting in SETTINGS {
        let flag = format!("--{} ", setting.name.replace('_', "-"));
        assert!(help.contains(&flag), "{flag}\n{help}");
    }
    for setting in SETTINGS {
        let default = format!("{} [default: {}]", setting.help, setting.default_shown());
        assert!(help.contains(&default), "{default}\n{help}");
    }
    for default in [
        "127.0.0.1:6379",
        "by the number of cores",
        "10000",
        "1s",
        "10ms",
    ] {
        assert!(help.contains(&format!("[default: {default}]")), "{default}");
    }
}

#[test]
fn a_change_that_takes_a_restart_is_named_and_one_that_does_not_is_not() {
    let before = resolve("--shards 4 --deadline 1s --max-clients 9", &nothing()).unwrap();
    let same = resolve("--shards 4 --deadline 2s --max-clients 7", &nothing()).unwrap();
    assert_eq!(before.restart_needed(&same), [""; 0]);
    let other = resolve("--shards 8 --deadline 2s --handover mail", &nothing()).unwrap();
    assert_eq!(before.restart_needed(&other), ["shards", "handover"]);
}

#[test]
fn what_can_change_goes_through_its_number_and_back() {
    let changed = "--overload reject --max-clients 7 --max-memory 3mb --deadline 2s --idle-timeout 5 \
                   --frame-timeout 6s --login-timeout 0 --output-timeout 7s --slowlog-slower-than never \
                   --slowlog-max-len 9";
    let changed = resolve(changed, &nothing()).unwrap();
    let runtime = Runtime::new(&Settings::default());
    assert_eq!(
        runtime.draft(&Settings::default()).settings,
        Settings::default()
    );
    runtime.take(&mut changed.draft());
    assert_eq!(
        runtime.draft(&Settings::default()).settings,
        changed.settings()
    );
    let untouched = SETTINGS.iter().filter(|row| row.can_change);
    for row in untouched {
        let default = row.show(&Draft::default());
        assert_ne!(
            row.show(&changed.draft()),
            default,
            "{} is not tried",
            row.name
        );
    }
}

#[test]
fn what_config_shows_it_takes() {
    let all = "--bind 10.0.0.1:1,127.0.0.1:2 --password-file pw --unix-socket s --dir d --sync never \
               --max-memory 2gb --idle-timeout 90 --slowlog-slower-than 3ms --disk-reserve 2mb";
    for flags in ["", all] {
        let machine = nothing().file("pw", b"x");
        let draft = resolve(flags, &machine).unwrap().draft();
        for known in known().filter(Known::can_change) {
            let mut read = Draft::default();
            known.read(&mut read, &known.show(&draft)).unwrap();
            assert_eq!(known.show(&read), known.show(&draft), "{}", known.name());
        }
    }
    let draft = resolve(all, &nothing().file("pw", b"x")).unwrap().draft();
    let shown = |name: &str| {
        known()
            .find(|known| known.name() == name)
            .unwrap()
            .show(&draft)
    };
    assert_eq!(shown("bind"), "10.0.0.1 127.0.0.1");
    assert_eq!(shown("maxmemory"), "2147483648");
    assert_eq!(shown("timeout"), "90");
    assert_eq!(shown("slowlog-log-slower-than"), "3000");
    assert_eq!(shown("appendfsync"), "no");
    assert_eq!(shown("disk-reserve"), "2097152");
    assert!(Path::new(&shown("dir")).is_absolute(), "{}", shown("dir"));
    assert!(known().all(|known| !known.name().contains("password")));
}
