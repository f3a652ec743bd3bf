use super::*;

const QOS_0: u8 = 0x30;
const QOS_1: u8 = 0x32;
const QOS_2: u8 = 0x34;
const RETAINED: u8 = 0x33;

#[tokio::test]
async fn a_message_is_acknowledged_after_the_commit_and_not_before() {
    for level in [4, 5] {
        let mut fixture = Fixture::with(Limits::default(), 0).await;
        let mut raw = Raw::login(&fixture, level).await;
        fixture.connected().await;
        raw.publish(UP, QOS_1, 11, b"sale").await;
        raw.publish(UP, QOS_1, 12, b"next").await;
        assert_eq!(fixture.message().await, b"sale");
        raw.nothing_for(Duration::from_millis(100)).await;
        fixture.nothing_seen();
        fixture.handler.commits.add_permits(1);
        assert_eq!(raw.packet().await.as_deref(), Some(&[0x40, 2, 0, 11][..]));
        assert!(fixture.handler.committed.load(Ordering::SeqCst));
        assert_eq!(fixture.message().await, b"next", "one at a time, in order");
    }
}

#[tokio::test]
async fn a_message_that_is_not_handled_ends_the_connection_unacknowledged() {
    for level in [4, 5] {
        for payload in [&b"fail"[..], b"panic"] {
            let mut fixture = Fixture::new().await;
            let mut raw = Raw::login(&fixture, level).await;
            fixture.connected().await;
            raw.publish(UP, QOS_1, 11, payload).await;
            raw.publish(UP, QOS_1, 12, b"next").await;
            raw.ends(0x80).await;
            assert_eq!(fixture.message().await, payload);
            fixture.disconnected().await;
        }
    }
    let mut fixture =
        Fixture::with(Limits { handler_timeout: Duration::from_millis(50), ..Limits::default() }, 0).await;
    let mut raw = Raw::login(&fixture, 5).await;
    raw.publish(UP, QOS_1, 11, b"slow").await;
    raw.ends(0x80).await;
    fixture.connected().await;
    fixture.message().await;
    fixture.disconnected().await;
}

#[tokio::test]
async fn a_machine_publishes_to_its_own_topic_only() {
    for topic in ["vend/8/up", "vend/7/down", "vend/7/up/x", "vend/7", "vend/07/up", "x"] {
        let mut fixture = Fixture::new().await;
        let mut raw = Raw::login(&fixture, 5).await;
        fixture.connected().await;
        raw.publish(topic, QOS_1, 11, b"sale").await;
        let puback = raw.packet().await.unwrap();
        assert_eq!(puback[..5], [0x40, puback[1], 0, 11, 0x87], "{topic}");
        // The connection stays.
        raw.publish(UP, QOS_1, 12, b"mine").await;
        assert_eq!(fixture.message().await, b"mine");
        // An acknowledgement has no place to say so here.
        raw.packet().await.unwrap();
        raw.publish(topic, QOS_0, 0, b"sale").await;
        raw.ends(0x87).await;

        let mut raw = Raw::login(&fixture, 4).await;
        fixture.disconnected().await;
        fixture.connected().await;
        raw.publish(topic, QOS_1, 11, b"sale").await;
        raw.ends(0).await;
        fixture.disconnected().await;
        fixture.nothing_seen();
    }
}

#[tokio::test]
async fn retained_messages_and_qos_2_are_refused() {
    for level in [4, 5] {
        for (first_byte, reason) in [(RETAINED, 0x9a), (QOS_2, 0x9b)] {
            let mut fixture = Fixture::new().await;
            let mut raw = Raw::login(&fixture, level).await;
            raw.publish(UP, first_byte, 11, b"sale").await;
            raw.ends(reason).await;
            fixture.connected().await;
            fixture.disconnected().await;
        }
    }
}

#[tokio::test]
async fn a_machine_subscribes_to_its_own_topic_only() {
    let fixture = Fixture::new().await;
    for (level, refused) in [(4, 0x80), (5, 0x87)] {
        let mut raw = Raw::login(&fixture, level).await;
        for topic in ["vend/8/down", "vend/7/up", "vend/+/down", "#", "vend/7/#", "$share/g/vend/7/down"] {
            assert_eq!(raw.subscribe(topic, 1).await, Some(refused), "{topic}");
        }
        for (asked, granted) in [(0, 0), (1, 1), (2, 1)] {
            assert_eq!(raw.subscribe(DOWN, asked).await, Some(granted));
        }
    }
}

#[tokio::test]
async fn an_independent_3_1_1_client_sends_and_receives() {
    use rumqttc::{Event, Packet, QoS};
    let mut fixture = Fixture::new().await;
    let mut options = rumqttc::MqttOptions::new("7", "127.0.0.1", fixture.addr.port());
    options.set_credentials("7", secret(7));
    let (client, mut events) = rumqttc::AsyncClient::new(options, 100);
    let (sender, mut packets) = mpsc::unbounded_channel();
    let poll = tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(packet) = event {
                sender.send(packet).unwrap();
            }
        }
    });
    let handle = fixture.connected().await;
    handle.send(b"early".to_vec()).unwrap();
    client.subscribe(DOWN, QoS::AtLeastOnce).await.unwrap();
    client.publish(UP, QoS::AtLeastOnce, false, "sale").await.unwrap();
    assert_eq!(fixture.message().await, b"sale");
    handle.send(b"late".to_vec()).unwrap();
    let mut received = Vec::new();
    let mut acknowledged = false;
    while received.len() < 2 || !acknowledged {
        match timeout(Duration::from_secs(2), packets.recv()).await.unwrap().unwrap() {
            Packet::Publish(publish) => {
                assert_eq!((publish.topic.as_str(), publish.qos), (DOWN, QoS::AtLeastOnce));
                received.push(publish.payload.to_vec());
            }
            Packet::PubAck(_) => acknowledged = true,
            _ => {}
        }
    }
    assert_eq!(received, [b"early".to_vec(), b"late".to_vec()]);
    // More than may be in flight: the client's acknowledgements let them through.
    for number in 0..60 {
        handle.send(vec![number]).unwrap();
    }
    for number in 0..60 {
        match timeout(Duration::from_secs(2), packets.recv()).await.unwrap().unwrap() {
            Packet::Publish(publish) => assert_eq!(publish.payload[..], [number]),
            other => panic!("{other:?}"),
        }
    }
    poll.abort();
}

#[tokio::test]
async fn an_independent_5_client_sends_and_receives() {
    use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    let mut fixture = Fixture::new().await;
    let mut options = rumqttc::v5::MqttOptions::new("7", "127.0.0.1", fixture.addr.port());
    options.set_credentials("7", secret(7)).set_receive_maximum(Some(2));
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 100);
    let (sender, mut packets) = mpsc::unbounded_channel();
    let poll = tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let rumqttc::v5::Event::Incoming(packet) = event {
                sender.send(packet).unwrap();
            }
        }
    });
    let handle = fixture.connected().await;
    client.subscribe(DOWN, QoS::AtLeastOnce).await.unwrap();
    client.publish(UP, QoS::AtLeastOnce, false, "sale").await.unwrap();
    assert_eq!(fixture.message().await, b"sale");
    for number in 0..60 {
        handle.send(vec![number]).unwrap();
    }
    let mut received = Vec::new();
    while received.len() < 60 {
        if let Packet::Publish(publish) =
            timeout(Duration::from_secs(2), packets.recv()).await.unwrap().unwrap()
        {
            assert_eq!((&publish.topic[..], publish.qos), (DOWN.as_bytes(), QoS::AtLeastOnce));
            received.extend(publish.payload);
        }
    }
    assert_eq!(received, (0..60).collect::<Vec<_>>());
    poll.abort();
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_machine_takes() {
    let mut fixture = Fixture::new().await;
    // Receive maximum (property 0x21) of 2.
    let mut raw = Raw::open(&fixture).await;
    let head = [&[0, 4], &b"MQTT"[..], &[5, 0b1100_0010, 0, 60, 3, 0x21, 0, 2]].concat();
    raw.send(&packet(0x10, &[head, text(b"7"), text(b"7"), text(secret(7).as_bytes())].concat())).await;
    raw.level = 5;
    raw.packet().await.unwrap();
    let handle = fixture.connected().await;
    assert_eq!(raw.subscribe(DOWN, 1).await, Some(1));
    for number in 0..3 {
        handle.send(vec![number]).unwrap();
    }
    let first = raw.packet().await.unwrap();
    raw.packet().await.unwrap();
    raw.nothing_for(Duration::from_millis(50)).await;
    let id = &first[2 + 2 + DOWN.len()..][..2];
    raw.send(&[&[0x40, 2], id].concat()).await;
    assert_eq!(raw.packet().await.unwrap().last(), Some(&2));
    // An acknowledgement of nothing is a protocol error.
    raw.send(&[0x40, 2, 0x77, 0x77]).await;
    raw.ends(0x82).await;
}
