//! The configuration as it was given, resolved: flags over environment over file over defaults.
//!
//! 1. Every layer is checked, also where a higher one wins.
//! 2. A refusal names the setting, its value, where it came from and what is allowed.
//! 3. An address that others can reach has a password.
//! 4. No text made here contains the password.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::flags::{self, ServeFlags};
use super::origin::{Given, Origin, echo};
use super::outside::Outside;
use super::secret::Secret;
use super::settings::{AdminAt, Commit, Handover, Settings, Sync};
use super::table::{self, Draft, Needs, SETTINGS};
use super::{bounds, file, print};

/// What every variable of ours begins with.
const VARIABLE_PREFIX: &str = "SHARDKEEP_";

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "SHARDKEEP_CONFIG";

/// A configuration that got through.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(super) draft: Draft,
    password: Option<Secret>,
    origins: BTreeMap<&'static str, Origin>,
    /// The file from which some of it was read.
    pub(crate) file: Option<PathBuf>,
    /// What is allowed and yet perhaps not meant; a line each.
    pub(crate) warnings: Vec<String>,
}

impl Resolved {
    /// Reads every layer and checks the whole. Blocks only to read the two files that the settings
    /// may name.
    ///
    /// # Errors
    /// The first thing that is refused.
    pub(crate) fn new(flags: &ServeFlags, outside: &dyn Outside) -> Result<Self, ConfigError> {
        let mut resolved = Self {
            draft: Draft::default(),
            password: None,
            origins: BTreeMap::new(),
            file: None,
            warnings: Vec::new(),
        };
        let (config, variables) = variables(outside);
        let config = match &flags.config {
            Some(path) => Some(flags::config_given(path)),
            None => config,
        };
        if let Some(config) = config {
            resolved.take(read_config(&config, outside)?)?;
            resolved.file = config.texts.first().map(PathBuf::from);
        }
        resolved.take(variables)?;
        resolved.take(flags.given.clone())?;
        resolved.read_password(outside)?;
        resolved.check()?;
        Ok(resolved)
    }

    /// The settings, complete.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            password: self.password.clone(),
            ..self.draft.settings.clone()
        }
    }

    /// What the rows of the table read.
    pub(crate) fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// The settings as a configuration file, with the origin of each as a comment.
    pub(crate) fn to_toml(&self) -> String {
        print::to_toml(self)
    }

    /// The settings that are otherwise in `other`, and cannot change while the server runs.
    pub(crate) fn restart_needed(&self, other: &Self) -> Vec<&'static str> {
        let fixed = SETTINGS.iter().filter(|setting| !setting.can_change);
        let changed =
            fixed.filter(|setting| setting.show(&self.draft) != setting.show(&other.draft));
        changed.map(|setting| setting.name).collect()
    }

    pub(super) fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }

    /// Lays one layer over what there is.
    fn take(&mut self, layer: Vec<Given>) -> Result<(), ConfigError> {
        for given in layer {
            let Some(setting) = table::find(&given.key) else {
                return Err(unknown(&given));
            };
            let mut field = (setting.field)(&mut self.draft);
            if field.set(&given.texts).is_none() {
                return Err(ConfigError::Value {
                    name: setting.name,
                    value: given.shown(),
                    allowed: field.allowed(),
                    origin: given.origin,
                });
            }
            self.origins.insert(setting.name, given.origin);
        }
        Ok(())
    }

    fn read_password(&mut self, outside: &dyn Outside) -> Result<(), ConfigError> {
        let Some(path) = &self.draft.password_file else {
            return Ok(());
        };
        let origin = self.origin("password_file").clone();
        let contents = outside
            .read(path, bounds::PASSWORD_BYTES_MAX)
            .map_err(|error| ConfigError::Unreadable {
                name: "password_file",
                path: path.clone(),
                origin: origin.clone(),
                error,
            })?;
        let password = first_line(&contents.bytes);
        let refused = |problem: String| ConfigError::Password {
            path: path.clone(),
            origin: origin.clone(),
            problem,
        };
        if password.len() > bounds::PASSWORD_BYTES_MAX {
            return Err(refused(format!(
                "its first line is longer than {} bytes",
                bounds::PASSWORD_BYTES_MAX
            )));
        }
        let secret = Secret::new(password);
        let secret = secret.ok_or_else(|| refused("its first line is empty".to_owned()))?;
        if contents.world_readable {
            self.warnings.push(format!(
                "password_file = {} can be read by every user of this machine; chmod 600 would \
                 keep it to its owner",
                echo(&path.to_string_lossy())
            ));
        }
        self.password = Some(secret);
        Ok(())
    }

    /// What no setting can know alone.
    fn check(&mut self) -> Result<(), ConfigError> {
        let settings = &self.draft.settings;
        let bind_origin = || self.origin("bind").clone();
        if settings.bind.is_empty() && settings.unix_socket.is_none() {
            return Err(ConfigError::NowhereToListen {
                origin: bind_origin(),
            });
        }
        let open = settings.bind.iter().find(|address| !is_loopback(address));
        if let (Some(address), None) = (open, &self.password) {
            return Err(ConfigError::Unprotected {
                address: *address,
                origin: bind_origin(),
            });
        }
        if let AdminAt::At(address) = settings.admin
            && !is_loopback(&address)
        {
            self.warnings.push(format!(
                "admin = {address} can be reached by others, without a password: they see figures and \
                 names of commands, neither keys nor values"
            ));
        }
        let shards = settings
            .shards
            .unwrap_or_else(|| shardkeep::engine::Config::default().shards);
        if let Some(owners) = settings.owners.filter(|owners| *owners > shards) {
            return Err(ConfigError::Value {
                name: "owners",
                value: owners.to_string(),
                origin: self.origin("owners").clone(),
                allowed: format!("1 to shards, which is {shards} ({})", self.origin("shards")),
            });
        }
        self.check_log()
    }

    /// What concerns the log needs a directory.
    fn check_log(&mut self) -> Result<(), ConfigError> {
        let settings = &self.draft.settings;
        let refused = |name: &'static str, needs: String| ConfigError::Needs {
            name,
            origin: self.origin(name).clone(),
            needs,
        };
        let is_given = |name: &str| self.origins.contains_key(name);
        if settings.dir.is_none() {
            let mut of_log = SETTINGS.iter().filter(|row| row.needs != Needs::Nothing);
            if let Some(row) = of_log.find(|row| is_given(row.name)) {
                return Err(refused(row.name, "dir, where the log lies".to_owned()));
            }
            if settings.handover == Handover::Lend && settings.write_window.is_some() {
                self.warnings.push(format!(
                    "write_window ({}) has no effect without dir or handover = mail",
                    self.origin("write_window")
                ));
            }
            return Ok(());
        }
        if settings.sync != Sync::Interval && is_given("sync_interval") {
            let sync = self.origin("sync");
            return Err(refused(
                "sync_interval",
                format!("sync = interval, and not what {sync} says"),
            ));
        }
        if settings.sync != Sync::Always && settings.commit == Commit::Auto && is_given("commit") {
            self.warnings.push(format!(
                "commit ({}) has no effect without sync = always: nobody waits for the log",
                self.origin("commit")
            ));
        }
        Ok(())
    }
}

/// The variable that names the configuration file, and all others that are meant for us.
fn variables(outside: &dyn Outside) -> (Option<Given>, Vec<Given>) {
    let mut given: Vec<_> = outside
        .variables(VARIABLE_PREFIX)
        .into_iter()
        .filter(|(name, _)| !is_service_link(name))
        .map(|(name, value)| Given {
            key: variable_key(&name),
            texts: vec![value],
            origin: Origin::Environment(name),
        })
        .collect();
    // The environment has no order of its own; errors should not depend on chance.
    given.sort_by(|a, b| a.key.cmp(&b.key));
    let config = |given: &Given| given.origin == Origin::Environment(CONFIG_VARIABLE.to_owned());
    let named = given.iter().find(|given| config(given)).cloned();
    given.retain(|given| !config(given));
    (named, given)
}

/// The key of a variable, if it is written as variables are; else no key at all.
fn variable_key(name: &str) -> String {
    let key = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    if key.contains(|letter: char| letter.is_ascii_lowercase()) {
        key.to_owned() + " (not in capitals)"
    } else {
        key.to_ascii_lowercase()
    }
}

/// Container managers describe a service called `shardkeep` to its neighbours by variables such as
/// `SHARDKEEP_SERVICE_HOST` and `SHARDKEEP_PORT_6379_TCP`. They are no settings and no mistakes.
pub(super) fn is_service_link(name: &str) -> bool {
    let numbered_port = name
        .split("_PORT_")
        .skip(1)
        .any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    numbered_port
        || name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

fn read_config(config: &Given, outside: &dyn Outside) -> Result<Vec<Given>, ConfigError> {
    let path = Path::new(config.texts.first().map_or("", String::as_str));
    let unreadable = |error| ConfigError::Unreadable {
        name: "config",
        path: path.to_owned(),
        origin: config.origin.clone(),
        error,
    };
    let contents = outside
        .read(path, bounds::CONFIG_FILE_BYTES_MAX)
        .map_err(unreadable)?;
    if contents.bytes.len() > bounds::CONFIG_FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "longer than {} bytes",
            bounds::CONFIG_FILE_BYTES_MAX
        ))));
    }
    let text = String::from_utf8(contents.bytes)
        .map_err(|_| unreadable(std::io::Error::other("not UTF-8")))?;
    file::parse(path, &text)
}

fn unknown(given: &Given) -> ConfigError {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let hint = if given.sounds_secret() {
        "password_file, the path of a file whose first line is the password; and "
    } else {
        ""
    };
    let key = match &given.origin {
        Origin::Environment(name) => name.clone(),
        Origin::Default | Origin::File { .. } | Origin::Flag(_) => given.key.clone(),
    };
    ConfigError::UnknownKey {
        key,
        value: given.shown(),
        origin: given.origin.clone(),
        allowed: format!("{hint}{}", names.join(", ")),
    }
}

/// Without its end, which may be that of another system.
fn first_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
