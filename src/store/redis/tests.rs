//! The contract over a real server, and what only Redis can do. Faults are in `faults`.

mod faults;
mod tls;

#[path = "../../../tests/harness/redis.rs"]
mod server;

use std::sync::Arc;
use std::time::Instant;

use self::server::RedisServer;
use super::super::contract::{self, Fixture, contract_tests, event, key, ledger, meta, tenant};
use super::super::identity::Identity;
use super::super::lessons::{CauseId, Lessons};
use super::*;

/// How long anything in these tests may take before it has failed.
const LIMIT: Duration = Duration::from_secs(20);

struct RedisFixture {
    server: RedisServer,
    store: Arc<RedisStore>,
}

fn options(url: &str) -> RedisOptions {
    RedisOptions {
        url: url.into(),
        user: None,
        password: None,
        ca_file: None,
        timeout: Duration::from_millis(200),
    }
}

fn fixture() -> RedisFixture {
    with_server(RedisServer::start())
}

fn with_server(server: RedisServer) -> RedisFixture {
    // The contract is about answers, not about how fast a loaded machine gives them.
    let patient = RedisOptions {
        timeout: Duration::from_secs(2),
        ..options(&server.url())
    };
    let store = Arc::new(RedisStore::new(&patient).unwrap());
    RedisFixture { server, store }
}

impl RedisFixture {
    fn quick(&self) -> Arc<RedisStore> {
        let store = Arc::new(RedisStore::new(&options(&self.server.url())).unwrap());
        store.expect_generation("g");
        store
    }

    /// A server that was set up, and a store with the ordinary timeout.
    async fn set_up(&self) -> Arc<RedisStore> {
        self.store.create_meta(&meta("g")).await.unwrap();
        self.store.expect_generation("g");
        let store = self.quick();
        until_clear(store.as_ref()).await;
        store
    }
}

impl Fixture for RedisFixture {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<RedisStore>::clone(&self.store)
    }

    fn set_field(&self, tenant: &Tenant, key: &RecipientKey, field: &str, value: Option<&[u8]>) {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let name = name(tenant, key, "record");
        match value {
            Some(value) => redis::cmd("HSET")
                .arg(name)
                .arg(field)
                .arg(value)
                .exec(&mut connection),
            None => redis::cmd("HDEL")
                .arg(name)
                .arg(field)
                .exec(&mut connection),
        }
        .unwrap();
    }

    fn set_sent(&self, tenant: &Tenant, id: &TransactionId, fields: &[(&str, &str)]) {
        let name = returns::sent_name(tenant, id);
        self.server.command_of(&["DEL", &name]);
        for (field, value) in fields {
            self.server.command_of(&["HSET", &name, field, value]);
        }
    }

    fn set_hold(&self, tenant: &Tenant, cause: &CauseId, text: &str) {
        let pending = format!("sendgate:{tenant}:pending");
        self.server
            .command_of(&["HSET", &pending, cause.as_str(), text]);
    }

    fn set_generation(&self, generation: Option<&str>) {
        match generation {
            Some(generation) => {
                for (field, value) in [
                    ("schema", "1"),
                    ("key_check", "x"),
                    ("generation", generation),
                ] {
                    self.server.command_of(&["HSET", META, field, value]);
                }
            }
            None => {
                self.server.command_of(&["DEL", META]);
            }
        }
    }
}

contract_tests!(fixture);

/// Asks until nothing is known of a recipient: the store answers.
async fn until_clear(store: &dyn Store) {
    let limit = Instant::now() + LIMIT;
    loop {
        match store.look_up(&tenant(), &[key(200)]).await.as_slice() {
            [Finding::Clear] => return,
            other => assert!(Instant::now() < limit, "still {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_layout_in_redis_is_that_of_the_design() {
    let fixture = fixture();
    let store = contract::ready(&fixture).await;
    ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    let record = format!("sendgate:{{default:{}}}:record", key(1));
    let fields = fixture.server.command_of(&["HKEYS", &record]);
    for field in ["version", "address", "soft"] {
        assert!(fields.contains(field), "{fields}");
    }
    let history = format!("sendgate:{{default:{}}}:history", key(1));
    assert_eq!(fixture.server.command_of(&["LLEN", &history]), ":1\r\n");
    let seen = format!("sendgate:{{default:{}}}:seen:{}", key(1), event(1).id);
    let left = fixture.server.command_of(&["TTL", &seen]);
    assert!(left == ":3600\r\n" || left == ":3599\r\n", "{left}");
    let hour = Duration::from_secs(3600);
    store
        .put_sent(&tenant(), &[10; 16], &[key(1)], hour)
        .await
        .unwrap();
    let sent = format!("sendgate:default:sent:{}", "0a".repeat(16));
    let left = fixture.server.command_of(&["TTL", &sent]);
    assert!(left == ":3600\r\n" || left == ":3599\r\n", "{left}");
    for (tag, keep) in [(0xab, Some(hour)), (0xac, None)] {
        let kept = store.put_label(&tenant(), tag, "spring", keep).await;
        assert_eq!(kept.unwrap(), "spring");
        let label = format!("sendgate:default:label:000000{tag:x}");
        let text = fixture.server.command_of(&["HGET", &label, "text"]);
        assert!(text.contains("spring"), "{text}");
        let left = fixture.server.command_of(&["TTL", &label]);
        let expected: &[&str] = match keep {
            Some(_) => &[":3600\r\n", ":3599\r\n"],
            None => &[":-1\r\n"],
        };
        assert!(expected.contains(&left.as_str()), "{left}");
    }
    let meta = fixture.server.command_of(&["HKEYS", "sendgate:meta"]);
    for field in ["schema", "key_check", "generation"] {
        assert!(meta.contains(field), "{meta}");
    }
}

#[tokio::test]
async fn look_ups_of_one_moment_are_one_round_trip() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    fixture.server.command("CONFIG RESETSTAT");
    let (tenant, keys) = (tenant(), [key(1), key(2)]);
    let look_ups = (0..20).map(|_| store.look_up(&tenant, &keys));
    for findings in futures_util::future::join_all(look_ups).await {
        assert_eq!(findings, [Finding::Clear, Finding::Clear]);
    }
    let statistics = fixture.server.command("INFO commandstats");
    let calls = |command: &str| {
        let named = format!("cmdstat_{command}:calls=");
        let (_, told) = statistics.split_once(&named).unwrap();
        told.split(',').next().unwrap().parse::<u32>().unwrap()
    };
    // The generation is asked for once in each round trip.
    assert_eq!((calls("hget"), calls("hgetall")), (1, 40), "{statistics}");
}

#[tokio::test]
async fn x43_a_value_of_another_type_spoils_only_its_key() {
    let fixture = fixture();
    let store = contract::ready(&fixture).await;
    fixture
        .server
        .command_of(&["LPUSH", &name(&tenant(), &key(1), "record"), "x"]);
    let findings = store.look_up(&tenant(), &[key(2), key(1), key(3)]).await;
    assert_eq!(
        findings,
        [Finding::Clear, Finding::Unavailable, Finding::Clear]
    );
    let error = store.read(&tenant(), &key(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(
        ledger(&store)
            .record(&tenant(), &key(1), event(1))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_history_of_another_type_leaves_nothing_half_written() {
    let fixture = fixture();
    let store = contract::ready(&fixture).await;
    fixture
        .server
        .command_of(&["SET", &name(&tenant(), &key(1), "history"), "x"]);
    let error = ledger(&store).record(&tenant(), &key(1), event(1)).await;
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
    assert_eq!(store.look_up(&tenant(), &[key(1)]).await, [Finding::Clear]);
    fixture
        .server
        .command_of(&["DEL", &name(&tenant(), &key(1), "history")]);
    let recorded = ledger(&store).record(&tenant(), &key(1), event(1)).await;
    assert!(
        recorded.unwrap().effect.is_some(),
        "no dedupe mark was left"
    );
}

#[tokio::test]
async fn x43_a_huge_value_takes_no_memory_and_spoils_only_its_key() {
    let fixture = fixture();
    let store = contract::ready(&fixture).await;
    let before = resident();
    let client = redis::Client::open(fixture.server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    // A string of 100 MB as a field of the record, made on the server.
    redis::cmd("EVAL")
        .arg("return redis.call('HSET', KEYS[1], 'hard', string.rep('x', 100000000))")
        .arg(1)
        .arg(name(&tenant(), &key(1), "record"))
        .exec(&mut connection)
        .unwrap();
    for number in 0..5000 {
        let field = format!("optout:topic:{number}");
        fixture.set_many(&mut connection, &key(2), &field);
    }
    let findings = store.look_up(&tenant(), &[key(1), key(2), key(3)]).await;
    assert_eq!(
        findings,
        [Finding::Unavailable, Finding::Unavailable, Finding::Clear]
    );
    assert!(store.read(&tenant(), &key(1)).await.is_err());
    let grown = resident().saturating_sub(before);
    assert!(grown < 50_000, "{grown} kB");
}

impl RedisFixture {
    fn set_many(&self, connection: &mut redis::Connection, key: &RecipientKey, field: &str) {
        let _ = self;
        redis::cmd("HSET")
            .arg(name(&tenant(), key, "record"))
            .arg(field)
            .arg("{}")
            .exec(connection)
            .unwrap();
    }
}

/// Memory of this process, in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_password_is_needed_and_given() {
    let fixture = with_server(RedisServer::start_with(&["--requirepass", "s3cr3t"]));
    let error = fixture.store.meta().await.unwrap_err();
    assert!(error.to_string().contains("NOAUTH"), "{error}");
    let wrong = RedisOptions {
        password: Some("wrong".into()),
        ..options(&fixture.server.url())
    };
    let error = RedisStore::new(&wrong).unwrap().meta().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let right = RedisOptions {
        password: Some("s3cr3t".into()),
        ..options(&fixture.server.url())
    };
    let store = RedisStore::new(&right).unwrap();
    store.create_meta(&meta("g")).await.unwrap();
    assert!(!format!("{store:?}").contains("s3cr3t"));
    let url = fixture.server.url().replace("redis://", "redis://:s3cr3t@");
    let store = RedisStore::new(&options(&url)).unwrap();
    assert_eq!(store.meta().await.unwrap(), Some(meta("g")));
}

#[tokio::test]
async fn lessons_go_with_their_time_and_a_released_one_is_passed_over() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    let (tenant, cause) = (tenant(), CauseId::of(&[b"a cause"]));
    let server = &fixture.server;
    contract::hold_one(store.as_ref(), &cause).await;
    store.note(&tenant, &contract::lesson(1)).await.unwrap();
    let keeps = server.command_of(&["PTTL", "sendgate:default:events"]);
    assert!(!keeps.starts_with(":-"), "the notes never end: {keeps}");
    // As if it had been released between the order and the texts.
    let texts = format!("sendgate:default:held:{cause}:lessons");
    let id = event(1).id;
    server.command_of(&["HDEL", &texts, id.as_str()]);
    let held = store.held(&tenant, &cause, 9).await.unwrap();
    assert!(held.is_empty(), "{held:?}");
    let long = "x".repeat(100_000);
    server.command_of(&["HSET", &texts, id.as_str(), &long]);
    let held = store.held(&tenant, &cause, 9).await;
    assert!(matches!(held, Err(StoreError::Corrupt(_))), "{held:?}");
}

#[tokio::test]
async fn a_user_with_the_needed_rights_only_can_do_everything() {
    let fixture = fixture();
    let reply = fixture.server.command(
        "ACL SETUSER gate on >p ~sendgate:* +hget +hgetall +hset +hsetnx +hstrlen +hmget +hincrby +hdel +hlen +del +exists +set +pexpire +xadd +xtrim +xrange +xrevrange +rpush +ltrim +lrange +zadd +zcard +zrange +zrem +zremrangebyscore +zremrangebyrank +eval +evalsha",
    );
    assert_eq!(reply, "+OK\r\n");
    let limited = RedisOptions {
        user: Some("gate".into()),
        password: Some("p".into()),
        timeout: Duration::from_secs(2),
        ..options(&fixture.server.url())
    };
    let store: Arc<dyn Store> = Arc::new(RedisStore::new(&limited).unwrap());
    store.create_meta(&meta("g")).await.unwrap();
    store.expect_generation("g");
    ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    assert_eq!(store.history(&tenant(), &key(1), 9).await.unwrap().len(), 1);
    let hour = Duration::from_secs(3600);
    store
        .put_sent(&tenant(), &[1; 16], &[key(1)], hour)
        .await
        .unwrap();
    assert!(store.sent(&tenant(), &[1; 16]).await.unwrap().is_some());
    let put = store.put_label(&tenant(), 1, "spring", Some(hour)).await;
    assert_eq!(put.unwrap(), "spring");
    assert!(store.label(&tenant(), 1).await.unwrap().is_some());
    contract::every_lesson_command(store.as_ref()).await;
}

#[tokio::test]
async fn x43_a_label_or_set_that_is_no_good_is_not_none() {
    let fixture = fixture();
    let store = contract::ready(&fixture).await;
    let client = redis::Client::open(fixture.server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let sent = returns::sent_name(&tenant(), &[1; 16]);
    let label = returns::label_name(&tenant(), 1);
    for (key, field) in [(&sent, "0"), (&label, returns::LABEL_TEXT)] {
        redis::cmd("EVAL")
            .arg("return redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', 10000000))")
            .arg(1)
            .arg(key)
            .arg(field)
            .exec(&mut connection)
            .unwrap();
    }
    let corrupt = |error: StoreError| {
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    };
    corrupt(store.sent(&tenant(), &[1; 16]).await.unwrap_err());
    corrupt(store.label(&tenant(), 1).await.unwrap_err());
    corrupt(store.put_label(&tenant(), 1, "x", None).await.unwrap_err());
    for key in [&sent, &label] {
        fixture.server.command_of(&["DEL", key]);
        fixture.server.command_of(&["LPUSH", key, "x"]);
    }
    corrupt(store.sent(&tenant(), &[1; 16]).await.unwrap_err());
    corrupt(store.label(&tenant(), 1).await.unwrap_err());
    corrupt(store.put_label(&tenant(), 1, "x", None).await.unwrap_err());
}

#[test]
fn without_a_runtime_it_is_an_error() {
    let error = RedisStore::new(&options("redis://127.0.0.1")).unwrap_err();
    assert!(matches!(error, RedisConfigError::NoRuntime), "{error}");
}
