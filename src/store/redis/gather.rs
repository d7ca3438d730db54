//! The [`Gatherer`] asks Redis once for what several sessions ask at the same moment.
//!
//! A look-up of its own costs Redis ten times what one among many costs, and us a system call each
//! way. Sessions whose commands arrived in the same wake-up run one after the other; their
//! questions meet here and leave in one write, with one question for the generation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::super::generation::{Alarm, Generation};
use super::link::Link;
use super::{checked, record_name};
use crate::suppression::{RecipientKey, Tenant};

/// Most questions that are taken up at once.
const QUESTION_LIMIT: usize = 256;
/// Most records of one round trip, so that no answer waits for thousands of others; a question of
/// more has one of its own.
const NAME_LIMIT: usize = 1000;

/// Gathers look-ups. Its task ends with it.
#[derive(Debug)]
pub(super) struct Gatherer {
    /// Unbounded, because each session waits for its answer before it asks again.
    questions: mpsc::UnboundedSender<Question>,
    _task: AbortOnDropHandle<()>,
}

/// The records that one session wants.
#[derive(Debug)]
struct Question {
    names: Vec<Vec<u8>>,
    /// One value for each name; none when Redis did not answer.
    answer: oneshot::Sender<Option<Vec<Value>>>,
}

impl Gatherer {
    /// Starts gathering there.
    pub(super) fn start(runtime: &Handle, desk: Desk) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        Self {
            questions,
            _task: AbortOnDropHandle::new(runtime.spawn(desk.serve(asked))),
        }
    }

    /// What Redis holds under each key; none when it did not answer, which the log was told.
    pub(super) async fn records(
        &self,
        tenant: &Tenant,
        keys: &[RecipientKey],
    ) -> Option<Vec<Value>> {
        let (answer, answered) = oneshot::channel();
        let names = keys.iter().map(|key| record_name(tenant, key)).collect();
        self.questions.send(Question { names, answer }).ok()?;
        answered.await.ok()?
    }
}

/// The first questions, as many as belong into one round trip.
fn first_round(questions: &mut Vec<Question>) -> Vec<Question> {
    let mut names = 0;
    let fitting = questions.iter().take_while(|question| {
        names += question.names.len();
        names <= NAME_LIMIT
    });
    let count = fitting.count().max(1);
    let later = questions.split_off(count.min(questions.len()));
    std::mem::replace(questions, later)
}

/// Where the questions are put together.
pub(super) struct Desk {
    pub(super) link: Arc<Link>,
    pub(super) generation: Arc<Generation>,
    /// Whether this way to the server works, as the log was told.
    pub(super) alarm: Alarm,
    /// How long Redis may take to answer.
    pub(super) timeout: Duration,
}

impl Desk {
    async fn serve(self, mut asked: mpsc::UnboundedReceiver<Question>) {
        let mut rounds = FuturesUnordered::new();
        loop {
            let mut questions = Vec::new();
            tokio::select! {
                biased;
                Some(()) = rounds.next() => {}
                count = asked.recv_many(&mut questions, QUESTION_LIMIT) => {
                    if count == 0 {
                        return;
                    }
                    while !questions.is_empty() {
                        rounds.push(self.round_trip(first_round(&mut questions)));
                    }
                }
            }
        }
    }

    /// One round trip for all questions.
    async fn round_trip(&self, questions: Vec<Question>) {
        let count: usize = questions.iter().map(|question| question.names.len()).sum();
        let mut commands = super::commands(count);
        for name in questions.iter().flat_map(|question| &question.names) {
            commands.cmd("HGETALL").arg(name);
        }
        let found = checked(&self.generation, &self.link, &commands, self.timeout).await;
        let mut values = match found {
            Ok(values) => {
                if self.alarm.clear() {
                    tracing::info!("Redis answers look-ups again");
                }
                Some(values.into_iter())
            }
            Err(error) => {
                if self.alarm.raise() {
                    tracing::warn!(%error, "Redis does not answer look-ups");
                }
                None
            }
        };
        for question in questions {
            let share = values
                .as_mut()
                .map(|values| values.take(question.names.len()).collect());
            // Whoever has given up waiting was answered with "unavailable" by its own deadline.
            let _ = question.answer.send(share);
        }
    }
}
