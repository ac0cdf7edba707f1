//! SAVE: a snapshot whose end one connection waits for, while all others go on.

use std::sync::Arc;

use super::Reactor;
use super::away::Recipient;
use super::connection::Late;
use super::decode::{Flow, Stand};
use super::round::Answer;
use crate::errors;
use crate::persistence::Asked;
use shardkeep_data::commands::CommandId;

impl Reactor {
    /// Asks for a snapshot; the reply comes when it has been taken.
    pub(super) fn save(&mut self, stand: Stand, id: CommandId) -> Flow {
        let start = self.round.replies.len();
        let Some(persistence) = &self.context.persistence else {
            return self.reject(stand, id, start, errors::NO_DIRECTORY);
        };
        // The end of one may be on its way here still: it is for who asked for that one.
        if self.saving.is_some() {
            return self.reject(stand, id, start, errors::SAVE_IN_PROGRESS);
        }
        match persistence.ask(Some(Arc::clone(&self.port)), false) {
            Asked::Begun => {}
            Asked::Ended => return self.reject(stand, id, start, errors::DRAINING),
            Asked::Busy | Asked::Scheduled => {
                return self.reject(stand, id, start, errors::SAVE_IN_PROGRESS);
            }
        }
        self.stats.command(id).calls.add(1);
        let Some(Some(connection)) = self.connections.get(stand.token) else {
            return Flow::Hangup;
        };
        self.saving = Some(Recipient {
            token: stand.token,
            generation: connection.generation,
            slot: self.round.commands.len() - self.round.members[stand.member].first,
        });
        let nowhere = self.context.routes.shards();
        self.add(stand, Some(id), 0, 0, nowhere, Answer::Travelling);
        Flow::Stall
    }

    /// The snapshot was taken, or an error says why not.
    pub(super) fn saved(&mut self, error: Option<String>) {
        let Some(to) = self.saving.take() else {
            return;
        };
        match error {
            None => self.fill_slot(to, Late::free(b"+OK\r\n")),
            Some(error) => {
                let mut reply = Vec::new();
                errors::encode(&format!("ERR no snapshot was taken: {error}"), &mut reply);
                self.fill_slot(to, Late::free(&reply));
            }
        }
    }
}
