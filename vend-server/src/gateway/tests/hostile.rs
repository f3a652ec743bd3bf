use super::*;

/// A small generator (xorshift), so that a failure comes back.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

#[tokio::test]
async fn what_is_no_login_ends_the_connection() {
    let fixture = Fixture::new().await;
    let bad_text = [&[0, 4], &b"MQTT"[..], &[4, 2, 0, 60, 0, 2, 0xc3, 0x28]].concat();
    let cases: [(&str, Vec<u8>); 8] = [
        ("a message first", publish(4, UP, 0x32, 1, b"x")),
        ("a ping first", vec![0xc0, 0]),
        ("another protocol", b"GET / HTTP/1.1\r\nHost: vend\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("a length without an end", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a promise of 256 MB", vec![0x10, 0xff, 0xff, 0xff, 0x7f]),
        ("reserved flags", packet(0x11, &connect(4, "7", "7", secret(7).as_bytes(), 60)[2..])),
        (
            "bytes behind the end",
            packet(0x10, &[&connect(5, "7", "7", secret(7).as_bytes(), 60)[2..], b"x"].concat()),
        ),
    ];
    for (name, bytes) in cases {
        let mut raw = Raw::open(&fixture).await;
        raw.send(&bytes).await;
        assert_eq!(raw.packet().await, None, "{name}");
    }
    let mut raw = Raw::open(&fixture).await;
    raw.send(&packet(0x10, &bad_text)).await;
    assert_eq!(raw.packet().await, None, "bad UTF-8");
}

#[tokio::test]
async fn a_logged_in_machine_that_breaks_the_protocol_is_ended() {
    let (protocol, malformed, too_large) = (0x82, 0x81, 0x95);
    for level in [4, 5] {
        let long = publish(level, UP, 0x32, 1, &[0; 2_048]);
        let cases = [
            ("connect twice", connect(level, "7", "7", secret(7).as_bytes(), 60), protocol),
            ("too long", long, too_large),
            ("packet id 0", publish(level, UP, 0x32, 0, b"x"), malformed),
            ("QoS 3", publish(level, UP, 0x36, 1, b"x"), malformed),
            (
                "bad UTF-8",
                publish(level, "vend/7/up", 0x32, 1, b"x").iter().map(|b| b | 0x80).collect(),
                malformed,
            ),
            ("a server's packet", vec![0x20, 2, 0, 0], protocol),
            ("QoS 2's second half", vec![0x62, 2, 0, 1], malformed),
            ("subscribe without flags", packet(0x80, &[0, 9, 0]), malformed),
            ("subscribe to nothing", packet(0x82, if level == 5 { &[0, 9, 0] } else { &[0, 9] }), protocol),
            ("packet type 0", vec![0, 0], protocol),
        ];
        for (name, bytes, reason) in cases {
            let mut fixture = Fixture::new().await;
            let mut raw = Raw::login(&fixture, level).await;
            raw.send(&bytes).await;
            if level == 5 {
                let goodbye = raw.packet().await.unwrap_or_else(|| panic!("{name}: no reason"));
                assert_eq!(goodbye[0], 0xe0, "{name}");
                // Which of the three it is called is the library's choice in places; that it ends is ours.
                if name != "bad UTF-8" && name != "subscribe to nothing" && name != "QoS 2's second half" {
                    assert_eq!(goodbye[2], reason, "{name}");
                }
            }
            assert_eq!(raw.packet().await, None, "{name}");
            fixture.connected().await;
            fixture.disconnected().await;
            fixture.nothing_seen();
        }
    }
}

#[tokio::test]
async fn a_topic_alias_or_subscription_identifier_is_refused() {
    let mut fixture = Fixture::new().await;
    let mut raw = Raw::login(&fixture, 5).await;
    // An empty topic and topic alias (property 0x23) 1.
    raw.send(&packet(0x32, &[0, 0, 0, 1, 3, 0x23, 0, 1, b'x'])).await;
    raw.ends(0x82).await;
    let mut raw = Raw::login(&fixture, 5).await;
    // Subscription identifier (property 0x0b) 1.
    raw.send(&packet(0x82, &[&[0, 9, 2, 0x0b, 1], &text(DOWN.as_bytes())[..], &[1]].concat())).await;
    raw.ends(0xa1).await;
    for _ in 0..2 {
        fixture.connected().await;
        fixture.disconnected().await;
    }
}

#[tokio::test]
async fn a_connection_cut_anywhere_is_ended_once() {
    let mut fixture = Fixture::new().await;
    let bytes = publish(4, UP, 0x32, 1, b"sale");
    for len in 0..bytes.len() {
        let mut raw = Raw::login(&fixture, 4).await;
        raw.send(&bytes[..len]).await;
        if len % 2 == 0 {
            // A reset instead of an orderly end.
            raw.stream.set_zero_linger().unwrap();
        }
        drop(raw);
        let id = fixture.connected().await.id();
        assert_eq!(fixture.disconnected().await, id);
    }
    fixture.nothing_seen();
}

#[tokio::test]
async fn a_connection_that_does_not_log_in_is_ended_and_gives_its_place_free() {
    let limits = Limits { connections: 2, connect_timeout: Duration::from_secs(1), ..Limits::default() };
    let mut fixture = Fixture::with(limits, 1_000).await;
    let mut silent = Raw::open(&fixture).await;
    let mut slow = Raw::open(&fixture).await;
    slow.send(&[0x10]).await;
    let mut one_more = Raw::open(&fixture).await;
    let started = tokio::time::Instant::now();
    assert_eq!(one_more.packet().await, None, "over the limit");
    assert!(started.elapsed() < Duration::from_millis(800), "it was let in and only timed out");
    assert_eq!(silent.packet().await, None);
    assert_eq!(slow.packet().await, None);
    drop((silent, slow));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _raw = Raw::login(&fixture, 4).await;
    fixture.connected().await;
}

#[tokio::test]
async fn noise_ends_connections_and_nothing_else() {
    let mut fixture = Fixture::new().await;
    let mut noise = Noise(0x5eed);
    for round in 0..300 {
        let level = if round % 2 == 0 { 4 } else { 5 };
        let mut packets = [
            connect(level, "7", "7", secret(7).as_bytes(), 60),
            packet(
                0x82,
                &[&[0, 9][..], if level == 5 { &[0] } else { &[] }, &text(DOWN.as_bytes()), &[1]].concat(),
            ),
            publish(level, UP, 0x32, 1, b"sale"),
            packet(
                0xa2,
                &[&[0, 9][..], if level == 5 { &[0] } else { &[] }, &text(DOWN.as_bytes())].concat(),
            ),
            vec![0xe0, 0],
        ];
        // Mostly what comes after a good login, sometimes the login.
        let hit = if round % 4 == 0 { 0 } else { 1 + noise.below(packets.len() - 1) };
        let packet = &mut packets[hit];
        for _ in 0..=noise.below(3) {
            let place = noise.below(packet.len());
            match noise.below(3) {
                0 => packet[place] = noise.byte(),
                1 => packet.insert(place, noise.byte()),
                _ => packet.truncate(place.max(1)),
            }
        }
        let mut raw = Raw::open(&fixture).await;
        // The gateway may have closed it already.
        let _ = raw.stream.write_all(&packets.concat()).await;
        drop(raw);
    }
    // Every place is free again, every end was told, and the gateway serves.
    let last = Raw::login(&fixture, 5).await;
    drop(last);
    fixture.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(3), fixture.served).await.expect("a connection was left").unwrap();
    let (mut connected, mut disconnected) = (0, 0);
    while let Ok(seen) = fixture.seen.try_recv() {
        match seen {
            Seen::Connected(_) => connected += 1,
            Seen::Message(..) => {}
            Seen::Disconnected(..) => disconnected += 1,
        }
    }
    assert!(connected > 100, "{connected}");
    assert_eq!(connected, disconnected);
}
