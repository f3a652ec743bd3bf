use super::*;

/// What the gateway answers to a CONNECT packet: the code of its CONNACK, or `None` where it just closes.
async fn code(fixture: &Fixture, connect: &[u8]) -> Option<u8> {
    let mut raw = Raw::open(fixture).await;
    raw.send(connect).await;
    let connack = raw.packet().await?;
    assert_eq!((connack[0], connack[2]), (0x20, 0), "a CONNACK, and never a session");
    if connack[3] != 0 {
        assert_eq!(raw.packet().await, None, "a refused connection ends");
    }
    Some(connack[3])
}

#[tokio::test]
async fn an_independent_client_logs_in_with_both_versions() {
    let mut fixture = Fixture::new().await;
    let mut options = rumqttc::MqttOptions::new("7", "127.0.0.1", fixture.addr.port());
    options.set_credentials("7", secret(7)).set_clean_session(false);
    let (_client, mut events) = rumqttc::AsyncClient::new(options, 10);
    match events.poll().await.unwrap() {
        rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(connack)) => assert!(!connack.session_present),
        other => panic!("{other:?}"),
    }
    let first = fixture.connected().await;
    assert_eq!((first.machine(), first.peer().ip()), (7, fixture.addr.ip()));

    let mut options = rumqttc::v5::MqttOptions::new("8", "127.0.0.1", fixture.addr.port());
    options.set_credentials("8", secret(8)).set_keep_alive(Duration::from_secs(900));
    let (_client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
    let connack = match events.poll().await.unwrap() {
        rumqttc::v5::Event::Incoming(rumqttc::v5::mqttbytes::v5::Packet::ConnAck(connack)) => connack,
        other => panic!("{other:?}"),
    };
    assert!(!connack.session_present);
    let properties = connack.properties.unwrap();
    assert_eq!(properties.max_qos, Some(1));
    assert_eq!(properties.retain_available, Some(0));
    assert_eq!(properties.receive_max, Some(16));
    assert_eq!(properties.max_packet_size, Some(2_048));
    assert_eq!(properties.server_keep_alive, Some(300));
    assert_eq!(properties.session_expiry_interval, Some(0));
    assert_eq!(properties.wildcard_subscription_available, Some(0));
    assert_ne!(fixture.connected().await.id(), first.id());
}

#[tokio::test]
async fn an_independent_client_with_a_wrong_secret_is_refused() {
    let mut fixture = Fixture::new().await;
    let mut options = rumqttc::MqttOptions::new("7", "127.0.0.1", fixture.addr.port());
    options.set_credentials("7", secret(8));
    let (_client, mut events) = rumqttc::AsyncClient::new(options, 10);
    let error = events.poll().await.unwrap_err();
    assert!(
        matches!(
            error,
            rumqttc::ConnectionError::ConnectionRefused(rumqttc::ConnectReturnCode::BadUserNamePassword)
        ),
        "{error}"
    );
    let mut options = rumqttc::v5::MqttOptions::new("7", "127.0.0.1", fixture.addr.port());
    options.set_credentials("7", secret(8));
    let (_client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
    let error = events.poll().await.unwrap_err();
    assert!(
        matches!(
            error,
            rumqttc::v5::ConnectionError::ConnectionRefused(
                rumqttc::v5::mqttbytes::v5::ConnectReturnCode::BadUserNamePassword
            )
        ),
        "{error}"
    );
    fixture.nothing_seen();
}

#[tokio::test]
async fn whoever_proves_nothing_is_refused() {
    let mut fixture = Fixture::new().await;
    let good = secret(7);
    for (level, refused, unavailable) in [(4, 4, 3), (5, 0x86, 0x88)] {
        let cases = [
            ("7", "7", secret(8)),
            ("9", "9", good.clone()),
            ("7", "7", String::new()),
            ("7", "7", "07".repeat(31)),
            ("7", "7", "07".repeat(33)),
            ("7", "7", "0G".repeat(32)),
            ("8", "7", good.clone()),
            ("", "7", good.clone()),
            ("07", "07", good.clone()),
            ("+7", "+7", good.clone()),
            ("4294967303", "4294967303", good.clone()),
        ];
        for (id, name, password) in cases {
            let got = code(&fixture, &connect(level, id, name, password.as_bytes(), 60)).await;
            assert_eq!(got, Some(refused), "{id} {name}");
        }
        for machine in ["500", "501"] {
            let got = code(&fixture, &connect(level, machine, machine, good.as_bytes(), 60)).await;
            assert_eq!(got, Some(unavailable), "{machine}");
        }
        assert_eq!(code(&fixture, &connect(level, "7", "7", good.as_bytes(), 60)).await, Some(0));
        fixture.connected().await;
        fixture.disconnected().await;
    }
    // Upper case would be another spelling of the same secret, and there is only one.
    for (secret, answer) in [("AB".repeat(32), 4), ("ab".repeat(32), 0)] {
        assert_eq!(code(&fixture, &connect(4, "171", "171", secret.as_bytes(), 60)).await, Some(answer));
    }
    assert_eq!(fixture.connected().await.machine(), 171);
    assert!(matches!(fixture.next().await, Seen::Disconnected(171, _)));
    // No name and no password.
    let nameless = packet(0x10, &[&[0, 4], &b"MQTT"[..], &[4, 2, 0, 60], &text(b"7")].concat());
    assert_eq!(code(&fixture, &nameless).await, Some(4));
    fixture.nothing_seen();
}

#[tokio::test]
async fn other_versions_and_methods_are_refused_by_name() {
    let fixture = Fixture::new().await;
    for level in [3, 6] {
        assert_eq!(code(&fixture, &connect(level, "7", "7", secret(7).as_bytes(), 60)).await, Some(1));
    }
    // An authentication method (property 0x15) that is not name and password.
    let head = [&[0, 4], &b"MQTT"[..], &[5, 0b1100_0010, 0, 60, 4, 0x15, 0, 1, b'x']].concat();
    let method = packet(0x10, &[head, text(b"7"), text(b"7"), text(secret(7).as_bytes())].concat());
    assert_eq!(code(&fixture, &method).await, Some(0x8c));
}

#[tokio::test]
async fn a_listener_without_tls_stays_on_loopback_unless_asked_by_name() {
    let handler = Fixture::new().await.handler;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let open = |config| Gateway::bind(everywhere, config, Arc::new(Machines), Arc::clone(&handler));
    let error = open(GatewayConfig::default()).await.err().unwrap();
    assert!(error.to_string().contains("dangerous_plaintext"), "{error}");
    assert!(open(GatewayConfig { dangerous_plaintext: true, ..GatewayConfig::default() }).await.is_ok());
    let limits = Limits { packet_size: 100, ..Limits::default() };
    let error = open(GatewayConfig { limits, dangerous_plaintext: true }).await.err().unwrap();
    assert!(matches!(error, GatewayError::Limit("packet_size")), "{error}");
}
