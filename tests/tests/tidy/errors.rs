//! Every error of the product says what it has to say once, however it is printed: alone, or with all that
//! caused it.

use std::error::Error;
use std::io;
use std::sync::Arc;

use shardkeep::durable::{DirectoryError, NewStoreError, RecoverError, RepairError, Unreadable};
use shardkeep::{LoadError, Lost, Refused, TransactionError};
use shardkeep_core::fail_fast::Failure;
use shardkeep_log::{
    AdoptError, AppendError, Directory, DiskError, Displacement, LogFailed, OpenError, Operation,
    SnapshotError, WriteError,
};
use shardkeep_server::config::{ConfigError, Origin};
use shardkeep_server::rdb::{ImportError, ReadError};
use shardkeep_server::server::StartError;

/// What the operating system says in all of these; what is behind that is said once too.
const CAUSE: &str = "the cause of it all";

fn cause() -> io::Error {
    io::Error::other(CAUSE)
}

fn disk() -> DiskError {
    DiskError {
        operation: Operation::Sync,
        file: "file".to_owned(),
        error: Arc::new(cause()),
    }
}

fn failed() -> LogFailed {
    LogFailed { cause: disk() }
}

fn directory() -> DirectoryError {
    DirectoryError::Refused {
        what: "opening",
        path: "path".into(),
        source: cause(),
    }
}

fn new_store() -> [NewStoreError; 2] {
    let (path, source) = (|| "path".into(), || Box::new(disk()));
    [
        NewStoreError::NotWritten {
            path: path(),
            source: source(),
        },
        NewStoreError::NotDurable {
            path: path(),
            source: source(),
        },
    ]
}

fn recover() -> Vec<RecoverError> {
    vec![
        RecoverError::Directory(directory()),
        RecoverError::Log(OpenError::Disk(disk())),
        RecoverError::Thread(cause()),
    ]
}

/// Errors with a cause; all of them come from [`CAUSE`].
fn of_the_system() -> Vec<Box<dyn Error>> {
    let mut errors: Vec<Box<dyn Error>> = vec![
        Box::new(disk()),
        Box::new(failed()),
        Box::new(directory()),
        Box::new(AppendError::Failed(failed())),
        Box::new(WriteError::Failed(failed())),
        Box::new(WriteError::NoSpace(disk())),
        Box::new(SnapshotError::Failed(failed())),
        Box::new(SnapshotError::NoSpace(disk())),
        Box::new(SnapshotError::Disk(disk())),
        Box::new(AdoptError::<Directory>::Failed(failed())),
        Box::new(AdoptError::<Directory>::NoSpace(disk())),
        Box::new(OpenError::Disk(disk())),
        Box::new(RepairError::Open(OpenError::Disk(disk()))),
        Box::new(Failure::Failed {
            thread: "thread".to_owned(),
            error: cause(),
        }),
        Box::new(Failure::<io::Error>::NotStarted {
            thread: "thread".to_owned(),
            source: cause(),
        }),
        Box::new(shardkeep_core::OpenError::Thread {
            name: "thread".to_owned(),
            source: cause(),
        }),
        Box::new(shardkeep::SnapshotError::Log(SnapshotError::Disk(disk()))),
        Box::new(shardkeep::SnapshotError::Adopt(AdoptError::NoSpace(disk()))),
        Box::new(TransactionError::Aborted(cause())),
        Box::new(LoadError::Loader(cause())),
        Box::new(StartError::Listen {
            address: "address".to_owned(),
            source: cause(),
        }),
        Box::new(StartError::System {
            what: "thread",
            source: cause(),
        }),
        Box::new(StartError::Open(shardkeep_core::OpenError::Thread {
            name: "thread".to_owned(),
            source: cause(),
        })),
        Box::new(ConfigError::Unreadable {
            name: "password_file",
            path: "path".into(),
            origin: Origin::Default,
            error: cause(),
        }),
        Box::new(ImportError::File(ReadError::Unreadable {
            offset: 1,
            source: cause(),
        })),
    ];
    for error in recover() {
        errors.push(Box::new(error));
    }
    for error in recover() {
        let error = shardkeep_core::OpenError::Recovery(Box::new(error));
        errors.push(Box::new(error));
    }
    for error in recover() {
        let error = shardkeep_core::OpenError::Recovery(Box::new(error));
        errors.push(Box::new(StartError::Open(error)));
    }
    for error in new_store() {
        errors.push(Box::new(error));
    }
    for error in new_store() {
        errors.push(Box::new(ImportError::Store(error)));
    }
    errors
}

/// Errors that have no cause but another of ours.
fn of_our_own() -> Vec<Box<dyn Error>> {
    let refused = || shardkeep::Error::from(Refused::Closed);
    vec![
        Box::new(refused()),
        Box::new(shardkeep::Error::from(Lost::LogFailed)),
        Box::new(TransactionError::<io::Error>::Store(refused())),
        Box::new(TransactionError::<io::Error>::KeyNotNamed),
        Box::new(LoadError::<io::Error>::Store(refused())),
        Box::new(RecoverError::Store(refused())),
        Box::new(RecoverError::Unreadable {
            place: "record 1".to_owned(),
            source: Unreadable::Decode(shardkeep::codec::DecodeError("no".into())),
        }),
        Box::new(shardkeep::SnapshotError::Store(refused())),
        Box::new(DiskError {
            operation: Operation::Look,
            file: "file".to_owned(),
            error: Arc::new(io::Error::other(Displacement::Moved)),
        }),
        Box::new(shardkeep_core::OpenError::Recovery(Box::new(
            RecoverError::Directory(DirectoryError::AlreadyOpen {
                path: "path".into(),
            }),
        ))),
    ]
}

/// The text of an error and those of all that caused it.
fn chain(error: &dyn Error) -> Vec<String> {
    let (mut chain, mut cause) = (vec![error.to_string()], error.source());
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    chain
}

#[test]
fn no_error_repeats_what_caused_it() {
    for error in of_the_system().iter().chain(&of_our_own()) {
        let chain = chain(&**error);
        for (at, outer) in chain.iter().enumerate() {
            let repeated = chain[at + 1..].iter().find(|inner| outer.contains(*inner));
            assert_eq!(repeated, None, "{error:?}: {chain:?}");
        }
    }
}

#[test]
fn every_error_says_what_the_system_said() {
    for error in of_the_system() {
        let said = chain(&*error).join(": ");
        assert_eq!(said.matches(CAUSE).count(), 1, "{error:?}: {said}");
    }
}
