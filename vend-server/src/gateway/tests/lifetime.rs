use super::*;

#[tokio::test]
async fn a_second_login_ends_the_first_connection() {
    for level in [4, 5] {
        let mut fixture = Fixture::new().await;
        let mut first = Raw::login(&fixture, level).await;
        let one = fixture.connected().await;
        let mut second = Raw::login(&fixture, level).await;
        first.ends(0x8e).await;
        assert_eq!(fixture.disconnected().await, one.id(), "the end of the first comes before the second");
        let two = fixture.connected().await;
        assert_ne!(one.id(), two.id());
        assert_eq!(one.send(b"x".to_vec()), Err(SendError::Closed));
        // The end of the first has not taken the second one's place: a third still finds and ends it.
        second.publish(UP, 0x32, 5, b"still here").await;
        assert_eq!(second.packet().await.as_deref(), Some(&[0x40, 2, 0, 5][..]));
        fixture.message().await;
        let _third = Raw::login(&fixture, level).await;
        second.ends(0x8e).await;
        assert_eq!(fixture.disconnected().await, two.id());
    }
}

#[tokio::test]
async fn a_message_in_hand_is_finished_before_the_next_connection_begins() {
    let mut fixture = Fixture::with(Limits::default(), 0).await;
    let mut first = Raw::login(&fixture, 5).await;
    fixture.connected().await;
    first.publish(UP, 0x32, 5, b"sale").await;
    fixture.message().await;
    let mut second = Raw::open(&fixture).await;
    second.send(&connect(5, "7", "7", secret(7).as_bytes(), 60)).await;
    second.nothing_for(Duration::from_millis(100)).await;
    fixture.nothing_seen();
    fixture.handler.commits.add_permits(1);
    fixture.disconnected().await;
    fixture.connected().await;
    assert_eq!(second.packet().await.unwrap()[0], 0x20);
    // Handled, but after the end was decided: the machine asks again on its new connection.
    first.ends(0x8e).await;
}

#[tokio::test]
async fn a_silent_machine_is_ended_after_one_and_a_half_keep_alives() {
    let limits = Limits { keep_alive_s: 1, ..Limits::default() };
    let mut fixture = Fixture::with(limits, 1_000).await;
    // One asks for the second itself, one for none at all, which is not granted.
    let mut asked = Raw::login_with(&fixture, 4, 1).await;
    let started = tokio::time::Instant::now();
    fixture.connected().await;
    let mut never = Raw::open(&fixture).await;
    never.level = 5;
    never.send(&connect(5, "8", "8", secret(8).as_bytes(), 0)).await;
    let connack = never.packet().await.unwrap();
    assert!(
        connack.windows(3).any(|property| property == [0x13, 0, 1]),
        "no server keep alive: {connack:02x?}"
    );
    fixture.connected().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // Half a packet is no sign of life.
    never.send(&[0x32]).await;
    asked.send(&[0xc0, 0]).await;
    assert_eq!(asked.packet().await.as_deref(), Some(&[0xd0, 0][..]));
    never.ends(0x8d).await;
    let silent_for = started.elapsed();
    assert!(
        silent_for >= Duration::from_millis(1_500) && silent_for < Duration::from_millis(3_500),
        "{silent_for:?}"
    );
    asked.ends(0).await;
    assert!(started.elapsed() >= Duration::from_millis(2_200), "the ping has not counted");
}

#[tokio::test]
async fn a_machine_that_does_not_keep_up_is_ended() {
    for level in [4, 5] {
        let mut fixture = Fixture::new().await;
        let mut raw = Raw::login(&fixture, level).await;
        let handle = fixture.connected().await;
        // Not subscribed: so many wait, one more is too many.
        for _ in 0..Limits::default().send_queue {
            handle.send(b"x".to_vec()).unwrap();
        }
        assert_eq!(handle.send(b"x".to_vec()), Err(SendError::Full));
        assert_eq!(handle.send(b"x".to_vec()), Err(SendError::Closed));
        raw.ends(0x97).await;
        fixture.disconnected().await;
        assert!(handle.is_closed());
    }
}

#[tokio::test]
async fn a_machine_that_takes_nothing_off_the_wire_is_ended() {
    let limits =
        Limits { write_timeout: Duration::from_millis(100), send_queue: 100_000, ..Limits::default() };
    let mut fixture = Fixture::with(limits, 1_000).await;
    let mut raw = Raw::login(&fixture, 4).await;
    let handle = fixture.connected().await;
    assert_eq!(raw.subscribe(DOWN, 0).await, Some(0));
    for _ in 0..20_000 {
        if handle.send(vec![0; 1_900]).is_err() {
            break;
        }
    }
    fixture.disconnected().await;
}

#[tokio::test]
async fn the_server_ends_a_connection_and_says_why() {
    let mut fixture = Fixture::new().await;
    for (reason, code) in [(CloseReason::NotAuthorized, 0x87), (CloseReason::Administrative, 0x98)] {
        let mut raw = Raw::login(&fixture, 5).await;
        let handle = fixture.connected().await;
        assert_eq!(handle.send(vec![0; 2_048]), Err(SendError::TooLong(2_048 - 10 - DOWN.len())));
        handle.close(reason);
        handle.close(CloseReason::SlowReader);
        raw.ends(code).await;
        assert_eq!(fixture.disconnected().await, handle.id());
    }
}

#[tokio::test]
async fn a_shutdown_ends_every_connection_and_tells_the_handler() {
    let mut fixture = Fixture::new().await;
    let mut idle = Raw::open(&fixture).await;
    let mut raw = Raw::login(&fixture, 5).await;
    fixture.connected().await;
    fixture.stop.take().unwrap().send(()).unwrap();
    raw.ends(0x8b).await;
    fixture.disconnected().await;
    assert_eq!(idle.packet().await, None);
    timeout(Duration::from_secs(2), fixture.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(fixture.addr).await.is_err(), "still listening");
}
