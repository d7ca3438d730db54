//! The [`Lessons`] in Redis: a stream of notes, and what the brake on learning counts and holds.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, Value};

use super::guarded::Batch;
use super::{META, RedisStore, name, replies};
use crate::store::lessons::{
    CAUSE_LIMIT, CauseId, HELD_LIMIT, HOLD_LIMIT, Hold, HoldChange, HoldOutcome, LESSON_KEEP,
    LESSON_LIMIT, Lesson, Lessons, Notes, Pending, Place, RelayedBatch, Tallied, Tally, slot_of,
    slots,
};
use crate::store::{BoxFuture, StoreError, codec, too_much_is_held};
use crate::suppression::{EventId, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

const HOLD: &str = include_str!("hold.lua");
static HOLD_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(HOLD));

const RELAYED: &str = include_str!("relayed.lua");
static RELAYED_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(RELAYED));

/// Most notes of one page: each is an array of its own in the reply.
const PAGE_LIMIT: usize = 1000;

impl Lessons for RedisStore {
    fn is_seen<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        event: &'a EventId,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut commands = super::commands(1);
            let seen = name(tenant, key, &format!("seen:{event}"));
            commands.cmd("EXISTS").arg(seen);
            let found = self.checked(&commands, self.write_timeout()).await?;
            Ok(replies::number(found.first().unwrap_or(&Value::Nil))? > 0)
        })
    }

    fn note<'a>(
        &'a self,
        tenant: &'a Tenant,
        lesson: &'a Lesson,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (name, text) = (of_tenant(tenant, "events"), codec::encode_value(lesson)?);
            let oldest = Timestamp::now().minus(LESSON_KEEP).millis().to_string();
            let limit = LESSON_LIMIT.to_string();
            let mut batch = Batch::default();
            batch.add("XADD", &name, ["MAXLEN", "~", &limit, "*", "lesson", &text]);
            batch.add("XTRIM", &name, ["MINID", "~", &oldest]);
            // Where nothing more is learnt nobody trims: the whole goes with its newest.
            let keep = LESSON_KEEP.as_millis().to_string();
            batch.add("PEXPIRE", &name, [keep]);
            self.run_batch(batch).await.map(|_| ())
        })
    }

    fn notes<'a>(
        &'a self,
        tenant: &'a Tenant,
        from: Place,
        limit: usize,
    ) -> BoxFuture<'a, Result<Notes, StoreError>> {
        Box::pin(async move {
            let limit = limit.clamp(1, PAGE_LIMIT);
            let mut commands = super::commands(1);
            commands
                .cmd("XRANGE")
                .arg(of_tenant(tenant, "events"))
                .arg(from.to_string())
                .arg(&["+", "COUNT"])
                .arg(limit);
            let found = self.checked(&commands, self.write_timeout()).await?;
            let entries = replies::entries(found.first().unwrap_or(&Value::Nil), b"lesson")?;
            let mut notes = Notes::default();
            if entries.len() == limit
                && let Some((id, _)) = entries.last()
            {
                let last = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
                notes.next = Some(last.map(Place::after).ok_or_else(replies::unexpected)?);
            }
            for (_, text) in entries {
                notes.lessons.push(codec::decode_value("lesson", text)?);
            }
            Ok(notes)
        })
    }

    fn count_relayed<'a>(
        &'a self,
        relayed: &'a RelayedBatch<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.run_relayed(relayed))
    }

    fn tally<'a>(&'a self, tally: &'a Tally<'a>) -> BoxFuture<'a, Result<Tallied, StoreError>> {
        Box::pin(self.run_tally(tally))
    }

    fn holds<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move {
            let mut commands = super::commands(1);
            commands.cmd("HGETALL").arg(of_tenant(tenant, "pending"));
            let found = self.checked(&commands, self.write_timeout()).await?;
            let mut holds = Vec::new();
            let mut counts = super::commands(1);
            for (id, text) in replies::pairs(found.first().unwrap_or(&Value::Nil))? {
                let id: CauseId = std::str::from_utf8(id)
                    .ok()
                    .and_then(|id| id.parse().ok())
                    .ok_or_else(|| StoreError::Corrupt("a held cause has no id".to_owned()))?;
                counts.cmd("ZCARD").arg(held_name(tenant, &id));
                holds.push((id, codec::decode_value::<Hold>("pending", text)?));
            }
            let counts = self.checked(&counts, self.write_timeout()).await?;
            holds
                .into_iter()
                .zip(counts)
                .map(|((cause, hold), count)| {
                    Ok(Pending {
                        cause,
                        hold,
                        held: replies::number(&count)?,
                    })
                })
                .collect()
        })
    }

    fn change_hold<'a>(
        &'a self,
        change: &'a HoldChange<'a>,
    ) -> BoxFuture<'a, Result<HoldOutcome, StoreError>> {
        Box::pin(self.run_change(change))
    }

    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Lesson>, StoreError>> {
        Box::pin(self.read_held(tenant, cause, limit.min(PAGE_LIMIT)))
    }

    fn release<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        events: &'a [EventId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let order = held_name(tenant, cause);
            let mut batch = Batch::default();
            for some in events.chunks(PAGE_LIMIT) {
                let ids = some.iter().map(EventId::as_str);
                batch.add("ZREM", &order, ids.clone());
                batch.add("HDEL", &lessons_name(tenant, cause), ids);
            }
            self.run_batch(batch).await.map(|_| ())
        })
    }
}

impl RedisStore {
    async fn run_tally(&self, tally: &Tally<'_>) -> Result<Tallied, StoreError> {
        let &Tally { tenant, cause, .. } = tally;
        let name = of_tenant(tenant, &format!("cause:{cause}"));
        let holds = of_tenant(tenant, "pending");
        let now = tally.now.millis().to_string();
        let over = tally.now.minus(tally.window).millis().to_string();
        // The newest only; from the end, so that nothing goes while there are fewer.
        let surplus = format!("-{}", CAUSE_LIMIT + 1);
        let window = tally.window.max(Duration::from_millis(1)).as_millis();
        let mut batch = Batch::default();
        batch.add("ZREMRANGEBYSCORE", &name, ["-inf", &over]);
        batch.add("ZADD", &name, ["NX", &now, &tally.key.to_string()]);
        batch.add("ZREMRANGEBYRANK", &name, ["0", &surplus]);
        batch.add("PEXPIRE", &name, [window.to_string()]);
        batch.add("ZCARD", &name, [""; 0]);
        // A text that is too long to be read comes as nothing at all: its length tells.
        batch.add("HSTRLEN", &holds, [cause.as_str()]);
        batch.add("HGET", &holds, [cause.as_str()]);
        for slot in slots(tally.now, tally.window) {
            batch.add("HGET", &relayed_name(tenant, slot), [tally.provider]);
        }
        let found = self.run_batch(batch).await?;
        let [_, _, _, _, recipients, length, hold, slots @ ..] = found.as_slice() else {
            return Err(replies::unexpected());
        };
        let hold = replies::optional_text(hold)?
            .map(|text| codec::decode_value("pending", text))
            .transpose()?;
        if hold.is_none() && replies::number(length)? > 0 {
            return Err(StoreError::Corrupt("a held cause is too long".to_owned()));
        }
        let mut relayed = 0u64;
        for count in slots {
            relayed = relayed.saturating_add(count_of(count)?);
        }
        Ok(Tallied {
            recipients: replies::number(recipients)?,
            relayed,
            hold,
        })
    }

    async fn run_relayed(&self, relayed: &RelayedBatch<'_>) -> Result<(), StoreError> {
        let &RelayedBatch { tenant, window, .. } = relayed;
        let generation = self.generation.expected()?;
        // Twice the window: a slot is asked for as long as a part of it is in the window.
        let keep = window.saturating_mul(2).max(Duration::from_millis(1));
        let mut arguments = vec![
            "3".to_owned(),
            META.to_owned(),
            relayed_name(tenant, slot_of(relayed.at, window)),
            of_tenant(tenant, &format!("told:{}", relayed.id)),
            generation.as_str().to_owned(),
            keep.as_millis().to_string(),
        ];
        for (provider, count) in relayed.counts {
            arguments.extend([provider.clone(), count.to_string()]);
        }
        let arguments: Vec<_> = arguments.into_iter().map(String::into_bytes).collect();
        let reply = self
            .run_script(&RELAYED_SCRIPT, RELAYED, &arguments)
            .await?;
        match replies::optional_text(&reply)? {
            Some(b"counted") => Ok(()),
            Some(b"another generation") => {
                self.generation.check(None)?;
                Err(replies::unexpected())
            }
            _ => Err(replies::unexpected()),
        }
    }

    async fn run_change(&self, change: &HoldChange<'_>) -> Result<HoldOutcome, StoreError> {
        let &HoldChange { tenant, cause, .. } = change;
        let generation = self.generation.expected()?;
        let text = |hold: Option<&Hold>| hold.map_or(Ok(String::new()), codec::encode_value);
        let mut arguments = vec![
            "4".to_owned(),
            META.to_owned(),
            of_tenant(tenant, "pending"),
            held_name(tenant, cause),
            lessons_name(tenant, cause),
            generation.as_str().to_owned(),
            cause.to_string(),
            text(change.before)?,
            text(change.after)?,
            HOLD_LIMIT.to_string(),
            HELD_LIMIT.to_string(),
        ];
        if let Some(lesson) = change.lesson {
            arguments.push(lesson.event.id.to_string());
            arguments.push(lesson.event.at.millis().to_string());
            arguments.push(codec::encode_value(lesson)?);
        }
        let arguments: Vec<_> = arguments.into_iter().map(String::into_bytes).collect();
        let reply = self.run_script(&HOLD_SCRIPT, HOLD, &arguments).await?;
        match replies::optional_text(&reply)? {
            Some(b"changed") => Ok(HoldOutcome::Changed),
            Some(b"held already") => Ok(HoldOutcome::HeldAlready),
            Some(b"conflict") => Ok(HoldOutcome::Conflict),
            Some(b"full") => Err(too_much_is_held()),
            Some(b"another generation") => {
                self.generation.check(None)?;
                Err(replies::unexpected())
            }
            _ => Err(replies::unexpected()),
        }
    }

    async fn read_held(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        limit: usize,
    ) -> Result<Vec<Lesson>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut commands = super::commands(1);
        let order = held_name(tenant, cause);
        commands.cmd("ZRANGE").arg(order).arg(0).arg(limit - 1);
        let found = self.checked(&commands, self.write_timeout()).await?;
        let ids = replies::texts(found.first().unwrap_or(&Value::Nil))?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = super::commands(1);
        commands
            .cmd("HMGET")
            .arg(lessons_name(tenant, cause))
            .arg(&ids);
        let found = self.checked(&commands, self.write_timeout()).await?;
        let texts = replies::optional_texts(found.first().unwrap_or(&Value::Nil))?;
        let mut lessons = Vec::new();
        let mut missing = Vec::new();
        for (id, text) in ids.into_iter().zip(texts) {
            match text {
                Some(text) => lessons.push(codec::decode_value("lesson", text)?),
                None => missing.push(id),
            }
        }
        self.check_released(tenant, cause, &missing).await?;
        Ok(lessons)
    }

    /// A lesson without a text was released between the two questions, or is too long to be read.
    async fn check_released(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        missing: &[&[u8]],
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let mut commands = super::commands(1);
        for id in missing {
            let name = lessons_name(tenant, cause);
            commands.cmd("HSTRLEN").arg(name).arg(id);
        }
        for length in self.checked(&commands, self.write_timeout()).await? {
            if replies::number(&length)? > 0 {
                return Err(StoreError::Corrupt("a held lesson is too long".to_owned()));
            }
        }
        Ok(())
    }
}

fn count_of(reply: &Value) -> Result<u64, StoreError> {
    match replies::optional_text(reply)? {
        None => Ok(0),
        Some(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| StoreError::Corrupt("a count of relayed mail".to_owned())),
    }
}

fn of_tenant(tenant: &Tenant, what: &str) -> String {
    format!("sendgate:{tenant}:{what}")
}

fn held_name(tenant: &Tenant, cause: &CauseId) -> String {
    of_tenant(tenant, &format!("held:{cause}"))
}

fn lessons_name(tenant: &Tenant, cause: &CauseId) -> String {
    of_tenant(tenant, &format!("held:{cause}:lessons"))
}

fn relayed_name(tenant: &Tenant, slot: u64) -> String {
    of_tenant(tenant, &format!("relayed:{slot}"))
}
