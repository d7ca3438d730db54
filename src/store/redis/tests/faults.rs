//! What Redis does when it is killed, frozen, emptied, full, a replica, or still loading.

use super::*;

/// A look-up that must not be answered, and must be told within the deadline.
async fn check_unavailable(store: &Arc<RedisStore>) {
    let store: Arc<dyn Store> = Arc::<RedisStore>::clone(store);
    let keys: Vec<_> = (0..50).map(key).collect();
    let begin = Instant::now();
    let quick = super::super::super::ledger::LedgerOptions {
        rules: crate::suppression::EventRules::default(),
        timeout: Duration::from_millis(200),
        remember: Duration::from_secs(60),
    };
    let ledger = super::super::super::ledger::Ledger::new(store, contract::keys(), quick);
    let findings = ledger.look_up(&tenant(), &keys).await;
    assert_eq!(findings, vec![Finding::Unavailable; 50]);
    // More than the deadline: the machine that runs the tests is busy.
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
}

/// Waits until a look-up is not answered any more.
async fn until_unavailable(store: &Arc<RedisStore>) {
    let limit = Instant::now() + LIMIT;
    while store.look_up(&tenant(), &[key(200)]).await != [Finding::Unavailable] {
        assert!(Instant::now() < limit, "still answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn write(store: &Arc<RedisStore>, number: u64) -> Result<(), StoreError> {
    let store: Arc<dyn Store> = Arc::<RedisStore>::clone(store);
    let recorded = ledger(&store)
        .record(&tenant(), &key(1), event(number))
        .await?;
    assert!(recorded.effect.is_some());
    Ok(())
}

async fn check_write_fails(store: &Arc<RedisStore>, number: u64, code: &str) {
    let error = write(store, number).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains(code), "{error}");
}

#[tokio::test]
async fn s8_the_server_need_not_be_there_at_the_start() {
    let port = server::free_port();
    let store = RedisStore::new(&options(&format!("redis://127.0.0.1:{port}"))).unwrap();
    let store = Arc::new(store);
    store.expect_generation("g");
    check_unavailable(&store).await;
    assert!(store.health().await.is_err());
    let error = store.meta().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn f11_a_killed_server_is_found_again() {
    let mut fixture = fixture();
    let store = fixture.set_up().await;
    fixture.server.kill();
    until_unavailable(&store).await;
    check_unavailable(&store).await;
    check_write_fails(&store, 1, "").await;
    fixture.server.restart_and_wait();
    fixture.set_generation(Some("g"));
    until_clear(store.as_ref()).await;
    write(&store, 1).await.unwrap();
}

#[tokio::test]
async fn s3_connecting_again_and_again_backs_off() {
    // A server that hangs up on everybody at once: connecting works, and helps nobody.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let store = Arc::new(RedisStore::new(&options(&url)).unwrap());
    store.expect_generation("g");
    let mut connections = 0;
    let end = tokio::time::Instant::now() + Duration::from_secs(1);
    while let Ok(accepted) = tokio::time::timeout_at(end, listener.accept()).await {
        drop(accepted);
        connections += 1;
    }
    // 0, 0, 50, 150, 350 and 750 ms.
    assert!((2..=7).contains(&connections), "{connections}");
    check_unavailable(&store).await;
}

#[tokio::test]
async fn s3_a_server_that_hangs_up_after_the_login_is_not_hammered() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    let begin = Instant::now();
    let mut killed = 0;
    while begin.elapsed() < Duration::from_secs(1) {
        let reply = fixture.server.command("CLIENT KILL TYPE normal");
        let number: u64 = reply.trim_start_matches(':').trim().parse().unwrap_or(0);
        killed += number;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The fixture's own store connects too.
    assert!(killed <= 16, "{killed} connections in a second");
    until_clear(store.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_a_frozen_server_is_told_in_time_and_found_again() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    fixture.server.freeze();
    let waiting: Vec<_> = (0..500)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { check_unavailable(&store).await })
        })
        .collect();
    for task in waiting {
        task.await.unwrap();
    }
    // The connection was given up, so nobody waits any more.
    until_down(&store).await;
    let begin = Instant::now();
    check_unavailable(&store).await;
    assert!(
        begin.elapsed() < Duration::from_millis(200),
        "{:?}",
        begin.elapsed()
    );
    fixture.server.thaw();
    until_clear(store.as_ref()).await;
    write(&store, 1).await.unwrap();
}

async fn until_down(store: &Arc<RedisStore>) {
    let limit = Instant::now() + LIMIT;
    while format!("{store:?}").contains("Link(up)") {
        assert!(Instant::now() < limit, "still on the frozen connection");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn f12_a_paused_server_is_waited_out() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    assert_eq!(fixture.server.command("CLIENT PAUSE 1000 ALL"), "+OK\r\n");
    check_unavailable(&store).await;
    until_clear(store.as_ref()).await;
}

#[tokio::test]
async fn f11_an_emptied_server_answers_nothing_and_is_not_set_up_again() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity {
        keys: contract::keys(),
        state_file: folder.path().join("generation"),
        create: true,
    };
    identity.establish(fixture.store.as_ref()).await.unwrap();
    let store = Arc::clone(&fixture.store);
    write(&store, 1).await.unwrap();
    assert_eq!(fixture.server.command("FLUSHALL"), "+OK\r\n");
    let findings = store.look_up(&tenant(), &[key(1), key(2)]).await;
    assert_eq!(findings, [Finding::Unavailable, Finding::Unavailable]);
    check_write_fails(&store, 2, "emptied").await;
    assert_eq!(
        fixture.server.command("DBSIZE"),
        ":0\r\n",
        "nothing was written"
    );
    let error = identity.establish(store.as_ref()).await.unwrap_err();
    assert!(error.to_string().contains("emptied"), "{error}");
    assert_eq!(store.meta().await.unwrap(), None);
}

#[tokio::test]
async fn s3_a_forgotten_script_is_sent_again() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    for number in 1..4 {
        write(&store, number).await.unwrap();
        assert_eq!(fixture.server.command("SCRIPT FLUSH"), "+OK\r\n");
    }
    assert_eq!(store.read(&tenant(), &key(1)).await.unwrap().version, 3);
}

#[tokio::test]
async fn f14_a_full_server_reads_and_does_not_write() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    write(&store, 1).await.unwrap();
    fixture.server.command("CONFIG SET maxmemory 1");
    check_write_fails(&store, 2, "OOM").await;
    assert!(matches!(
        store.look_up(&tenant(), &[key(1)]).await.as_slice(),
        [Finding::Known(_)]
    ));
    fixture.server.command("CONFIG SET maxmemory 0");
    write(&store, 2).await.unwrap();
    assert_eq!(store.read(&tenant(), &key(1)).await.unwrap().version, 2);
}

#[tokio::test]
async fn f14_a_server_without_replicas_does_not_write() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    fixture.server.command("CONFIG SET min-replicas-to-write 3");
    check_write_fails(&store, 1, "NOREPLICAS").await;
    fixture.server.command("CONFIG SET min-replicas-to-write 0");
    write(&store, 1).await.unwrap();
}

#[tokio::test]
async fn f13_a_server_that_became_a_replica_is_left() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    let master = format!("REPLICAOF 127.0.0.1 {}", server::free_port());
    assert_eq!(fixture.server.command(&master), "+OK\r\n");
    // The first write tells, and from then on look-ups are not answered by a replica either (S2).
    check_write_fails(&store, 1, "READONLY").await;
    check_unavailable(&store).await;
    let limit = Instant::now() + LIMIT;
    loop {
        let error = store.health().await.unwrap_err().to_string();
        if error.contains("replica") {
            break;
        }
        assert!(Instant::now() < limit, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.server.command("REPLICAOF NO ONE");
    until_clear(store.as_ref()).await;
    write(&store, 1).await.unwrap();
}

#[tokio::test]
async fn f13_a_quiet_replica_is_noticed_by_the_probe() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    let master = format!("REPLICAOF 127.0.0.1 {}", server::free_port());
    assert_eq!(fixture.server.command(&master), "+OK\r\n");
    until_unavailable(&store).await;
}

#[tokio::test]
async fn f14_a_stale_replica_answers_nothing() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    fixture
        .server
        .command("CONFIG SET replica-serve-stale-data no");
    let master = format!("REPLICAOF 127.0.0.1 {}", server::free_port());
    fixture.server.command(&master);
    check_unavailable(&store).await;
    let error = store.health().await.unwrap_err().to_string();
    assert!(error.contains("MASTERDOWN"), "{error}");
}

#[tokio::test]
async fn f14_a_password_set_later_is_an_outage() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    fixture.server.command("CONFIG SET requirepass x");
    // Connections that are logged in stay so; new ones are not.
    fixture.server.command_of(&["PING"]);
    let client = redis::Client::open(fixture.server.url().replace("//", "//:x@")).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal"])
        .exec(&mut connection)
        .unwrap();
    until_unavailable(&store).await;
    let limit = Instant::now() + LIMIT;
    loop {
        let error = store.health().await.unwrap_err().to_string();
        if error.contains("NOAUTH") {
            break;
        }
        assert!(Instant::now() < limit, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", ""])
        .exec(&mut connection)
        .unwrap();
    until_clear(store.as_ref()).await;
}

#[tokio::test]
async fn f14_a_user_without_the_right_is_an_outage() {
    let fixture = fixture();
    fixture.set_up().await;
    fixture.server.command("ACL SETUSER u on >p ~* +get");
    let limited = RedisOptions {
        user: Some("u".into()),
        password: Some("p".into()),
        ..options(&fixture.server.url())
    };
    let store = Arc::new(RedisStore::new(&limited).unwrap());
    store.expect_generation("g");
    check_unavailable(&store).await;
    let error = store.health().await.unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");
}

#[tokio::test]
async fn f14_a_cluster_without_slots_is_an_outage() {
    let fixture = with_server(RedisServer::start_with(&["--cluster-enabled", "yes"]));
    let store = fixture.quick();
    check_unavailable(&store).await;
    let error = store.health().await.unwrap_err().to_string();
    assert!(error.contains("CLUSTERDOWN"), "{error}");
}

#[tokio::test]
async fn f11_a_loading_server_is_waited_out() {
    let mut fixture = fixture();
    let store = fixture.set_up().await;
    let filled = fixture.server.command_of(&[
        "EVAL",
        "for i = 1, 300 do redis.call('SET', 'filler:' .. i, i) end",
        "0",
    ]);
    assert!(filled.starts_with("$-1"), "{filled}");
    assert_eq!(fixture.server.command("SAVE"), "+OK\r\n");
    fixture.server.restart(&[
        "--key-load-delay",
        "5000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    until_unavailable(&store).await;
    let limit = Instant::now() + LIMIT;
    loop {
        let error = store.health().await.unwrap_err().to_string();
        if error.contains("LOADING") {
            break;
        }
        assert!(Instant::now() < limit, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    check_unavailable(&store).await;
    until_clear(store.as_ref()).await;
    write(&store, 1).await.unwrap();
}

#[tokio::test]
async fn s7_a_write_that_timed_out_can_be_told_again() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    write(&store, 1).await.unwrap();
    // Writes are held back by the server, and carried out when the pause is over.
    assert_eq!(fixture.server.command("CLIENT PAUSE 600 WRITE"), "+OK\r\n");
    let shared: Arc<dyn Store> = Arc::<RedisStore>::clone(&store);
    let impatient = ledger(&shared);
    let (tenant, key) = (tenant(), key(1));
    let told = impatient.record(&tenant, &key, event(2));
    let told = tokio::time::timeout(Duration::from_millis(100), told).await;
    assert!(told.is_err(), "the server was paused");
    let limit = Instant::now() + LIMIT;
    let recorded = loop {
        match impatient.record(&tenant, &key, event(2)).await {
            Ok(recorded) => break recorded,
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(recorded.record.soft.unwrap().count, 2);
    assert_eq!(store.read(&tenant, &key).await.unwrap().version, 2);
}

#[tokio::test]
async fn s2_f13_a_write_that_meets_a_replica_warns_those_who_only_read() {
    let fixture = fixture();
    let store = fixture.set_up().await;
    let patient = RedisOptions {
        timeout: Duration::from_secs(2),
        ..options(&fixture.server.url())
    };
    let here = tokio::runtime::Handle::current();
    let reader = Arc::new(store.beside(&patient, &here).unwrap());
    until_clear(reader.as_ref()).await;
    fixture.server.command("REPLICAOF 127.0.0.1 1");
    let begun = Instant::now();
    check_write_fails(&store, 1, "READONLY").await;
    until_unavailable(&reader).await;
    // Left alone it would have noticed at its next probe only.
    assert!(begun.elapsed() < Duration::from_secs(3));
}
