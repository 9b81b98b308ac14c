//! The RFCs' requirements on a client, one test each, driven packet by packet with a simulated clock.

use super::super::options::MessageOptions;
use super::*;
use crate::lease::pseudorandom;

const MAC: Mac = [2, 0, 0, 0, 0, 7];
const OTHER: Mac = [2, 0, 0, 0, 0, 99];
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// A message of the client, as a server reads it.
#[derive(Debug)]
struct Sent {
    kind: MessageKind,
    xid: u32,
    seconds: u16,
    broadcast_flag: bool,
    held: Ipv4Addr,
    options: MessageOptions,
    /// Source and destination.
    from: Ipv4Addr,
    to: Ipv4Addr,
}

/// A client on a link whose other end is the test.
struct Link {
    client: Client,
    now: Moment,
    random: u32,
}

/// An answer of a server.
#[derive(Clone)]
struct Answer {
    kind: MessageKind,
    address: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

fn answer(kind: MessageKind) -> Answer {
    let options = vec![
        (options::SERVER, SERVER.octets().to_vec()),
        (options::SUBNET_MASK, vec![255, 255, 255, 0]),
        (options::LEASE_TIME, 3600_u32.to_be_bytes().to_vec()),
    ];
    Answer { kind, address: ADDRESS, options }
}

impl Answer {
    fn with(mut self, code: u8, value: &[u8]) -> Answer {
        self.options.retain(|(c, _)| *c != code);
        self.options.push((code, value.to_vec()));
        self
    }

    fn without(mut self, code: u8) -> Answer {
        self.options.retain(|(c, _)| *c != code);
        self
    }

    fn lifetime(self, seconds: u32) -> Answer {
        self.with(options::LEASE_TIME, &seconds.to_be_bytes())
    }

    fn address(self, address: Ipv4Addr) -> Answer {
        Answer { address, ..self }
    }

    fn bytes(&self, xid: u32, mac: Mac) -> Vec<u8> {
        let options = self.options.iter().map(|(code, value)| (*code, value.as_slice())).collect();
        let query =
            ClientMessage { kind: self.kind, xid, seconds: 0, broadcast: false, address: NONE, mac, options };
        let mut bytes = query.write();
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&self.address.octets());
        bytes
    }
}

fn read(output: &Output) -> Option<Sent> {
    let (from, to, payload) = match output {
        Output::Broadcast { from, payload } => (*from, Ipv4Addr::BROADCAST, payload),
        Output::Unicast { from, to, payload } => (*from, *to, payload),
        _ => return None,
    };
    let options = MessageOptions::read(&payload[240..], &[], &[]).unwrap();
    assert_eq!(payload[0], 1);
    assert_eq!(payload[28..34], MAC);
    Some(Sent {
        kind: MessageKind::from_number(options.byte(options::MESSAGE_TYPE).unwrap()).unwrap(),
        xid: u32::from_be_bytes(payload[4..8].try_into().unwrap()),
        seconds: u16::from_be_bytes([payload[8], payload[9]]),
        broadcast_flag: payload[10] & 0x80 != 0,
        held: Ipv4Addr::new(payload[12], payload[13], payload[14], payload[15]),
        options,
        from,
        to,
    })
}

fn only(outputs: &[Output]) -> Sent {
    let sent: Vec<Sent> = outputs.iter().filter_map(read).collect();
    assert_eq!(sent.len(), 1, "{outputs:?}");
    sent.into_iter().next().unwrap()
}

fn config() -> Config {
    Config { mac: MAC, client_id: [&[1][..], &MAC].concat(), detection: Detection::Off, ..Config::default() }
}

fn hardware(mac: Mac) -> MacAddr {
    MacAddr::from_bytes(&mac).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Link {
    fn new(config: Config) -> Link {
        Link::with(config, None, false)
    }

    fn with(config: Config, kept: Option<Lease>, confirmed: bool) -> Link {
        let now = seconds(1000);
        Link { client: Client::new(config, kept, confirmed, now), now, random: 0 }
    }

    fn event(&mut self, event: ClientEvent<'_>) -> Vec<Output> {
        let random = &mut self.random;
        self.client.handle(self.now, event, &mut || pseudorandom(random))
    }

    fn up(&mut self) -> Vec<Output> {
        self.event(ClientEvent::Carrier(true))
    }

    fn answer(&mut self, to: &Sent, answer: &Answer) -> Vec<Output> {
        self.event(ClientEvent::Message(&answer.bytes(to.xid, MAC)))
    }

    /// Advances to the next deadline; returns how far away it was.
    fn next(&mut self) -> (Duration, Vec<Output>) {
        let deadline = self.client.deadline().expect("there is something to wait for");
        let waited = deadline.saturating_sub(self.now);
        self.now = self.now.max(deadline);
        (waited, self.event(ClientEvent::Timer))
    }

    /// Advances to the next message, whatever comes before it.
    fn next_message(&mut self) -> (Duration, Sent) {
        let begin = self.now;
        loop {
            let (_, outputs) = self.next();
            if let Some(sent) = outputs.iter().find_map(read) {
                return (self.now - begin, sent);
            }
        }
    }

    fn requested(config: Config) -> (Link, Sent) {
        let mut link = Link::new(config);
        let discover = only(&link.up());
        let request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        (link, request)
    }

    fn bound(ack: &Answer) -> Link {
        let (mut link, request) = Link::requested(config());
        let outputs = link.answer(&request, ack);
        assert!(matches!(outputs.as_slice(), [Output::Bound(_)]), "{outputs:?}");
        link
    }
}

requirements! {
    "RFC 2131, 4.4.1" "DISCOVER is broadcast from 0.0.0.0 with ciaddr 0"
    discover_is_broadcast {
        let sent = only(&Link::new(config()).up());
        assert_eq!((sent.kind, sent.from, sent.to, sent.held), (MessageKind::Discover, NONE, Ipv4Addr::BROADCAST, NONE));
        assert_eq!(sent.options.bytes(options::SERVER), None);
    }

    "RFC 2131, 2" "a client identifies itself in every message in the same way"
    every_message_has_the_client_id {
        let id = config().client_id;
        let (mut link, request) = Link::requested(config());
        assert_eq!(request.options.bytes(options::CLIENT_ID), Some(&id[..]));
        link.answer(&request, &answer(MessageKind::Ack));
        let outputs = link.event(ClientEvent::Release);
        assert_eq!(only(&outputs).options.bytes(options::CLIENT_ID), Some(&id[..]));
    }

    "RFC 2131, 4.3.2" "a REQUEST for an offer names server and address and leaves ciaddr at 0"
    a_request_names_server_and_address {
        let (_, request) = Link::requested(config());
        assert_eq!((request.kind, request.to, request.held), (MessageKind::Request, Ipv4Addr::BROADCAST, NONE));
        assert_eq!(request.options.address(options::SERVER), Some(SERVER));
        assert_eq!(request.options.address(options::REQUESTED_ADDRESS), Some(ADDRESS));
    }

    "RFC 2131, 3.1" "the same parameters are asked for in DISCOVER and REQUEST"
    both_ask_for_the_same {
        let mut link = Link::new(config());
        let discover = only(&link.up());
        let request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        let list = |sent: &Sent| sent.options.bytes(options::PARAMETER_LIST).unwrap().to_vec();
        assert_eq!(list(&discover), list(&request));
        let order: Vec<usize> =
            [121, 33, 3].iter().map(|code| list(&discover).iter().position(|c| c == code).unwrap()).collect();
        assert!(order.is_sorted(), "RFC 3442: 121 comes first");
        assert!(!list(&discover).contains(&options::IPV6_ONLY), "RFC 8925: only where asked for");
    }

    "RFC 2131, 4.4.1" "REQUEST has the secs of the DISCOVER, and the same xid"
    request_repeats_secs {
        let mut link = Link::new(config());
        link.up();
        let (_, discover) = link.next_message();
        assert!(discover.seconds >= 3);
        link.now += Duration::from_millis(2500);
        let request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        assert_eq!((request.seconds, request.xid), (discover.seconds, discover.xid));
        let (_, again) = link.next_message();
        assert_eq!((again.kind, again.seconds), (MessageKind::Request, discover.seconds));
    }

    "RFC 2131, 4.1" "retransmissions are delayed 4, 8, 16, 32, 64 s, each randomised by a second"
    back_off_doubles_up_to_64_s {
        let mut link = Link::new(config());
        link.up();
        let mut odd = 0;
        for expected in [4, 8, 16, 32, 64, 64, 64] {
            let (waited, sent) = link.next_message();
            assert_eq!(sent.kind, MessageKind::Discover);
            assert!((seconds(expected - 1)..=seconds(expected + 1)).contains(&waited), "{waited:?}");
            odd += u32::from(waited.subsec_millis() != 0);
        }
        assert!(odd >= 5, "not on the second");
    }

    "RFC 2131, 3.1, 5" "an offer that nobody confirms is given up after four requests"
    a_silent_server_is_given_up {
        let (mut link, _) = Link::requested(config());
        let kinds: Vec<MessageKind> = (0..4).map(|_| link.next_message().1.kind).collect();
        assert_eq!(kinds, [MessageKind::Request, MessageKind::Request, MessageKind::Request, MessageKind::Discover]);
        assert!(link.client.account().offers[0].silent);
    }

    "RFC 2131, 4.4.1" "an answer with another xid or chaddr is dropped"
    answers_to_others_are_dropped {
        let mut link = Link::new(config());
        let discover = only(&link.up());
        let offer = answer(MessageKind::Offer);
        for bytes in [offer.bytes(discover.xid ^ 1, MAC), offer.bytes(discover.xid, OTHER)] {
            assert_eq!(link.event(ClientEvent::Message(&bytes)), []);
        }
        assert_eq!(link.client.state(), "SELECTING");
    }

    "RFC 2131, 4.4.1" "an ACK nobody asked for is no lease"
    an_ack_to_a_discover_is_dropped {
        let mut link = Link::new(config());
        let discover = only(&link.up());
        assert_eq!(link.answer(&discover, &answer(MessageKind::Ack)), []);
        assert_eq!(link.client.lease(), None);
    }

    "RFC 2131, 3.1, 4" "an ACK with another address than the one asked for is no lease"
    an_ack_for_another_address_is_dropped {
        let (mut link, request) = Link::requested(config());
        assert_eq!(link.answer(&request, &answer(MessageKind::Ack).address([192, 0, 2, 8].into())), []);
        let why = link.client.account().offers.iter().find_map(|o| o.not_taken.clone());
        assert_eq!(why, Some(OfferFault::OtherAddress([192, 0, 2, 8].into())));
        assert!(matches!(link.answer(&request, &answer(MessageKind::Ack)).as_slice(), [Output::Bound(_)]));
    }

    "RFC 2131, table 3" "an offer or ACK without server or lifetime does not count"
    offers_have_to_be_whole {
        for code in [options::SERVER, options::LEASE_TIME] {
            let mut link = Link::new(config());
            let discover = only(&link.up());
            assert_eq!(link.answer(&discover, &answer(MessageKind::Offer).without(code)), []);
            assert!(link.client.account().offers[0].not_taken.is_some());
            let request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
            assert_eq!(link.answer(&request, &answer(MessageKind::Ack).without(code)), []);
        }
    }

    "RFC 2131, 4.4.1" "lifetimes count from the request"
    lifetimes_count_from_the_request {
        let (mut link, request) = Link::requested(config());
        let asked = link.now;
        link.now += seconds(3);
        link.answer(&request, &answer(MessageKind::Ack));
        let lease = link.client.lease().unwrap();
        assert_eq!(lease.end(), Some(asked + seconds(3600)));
        assert_eq!((lease.t1(), lease.t2()), (Some(asked + seconds(1800)), Some(asked + seconds(3150))));
    }

    "RFC 2131, 3.1, 6" "a NAK begins anew, and the address is not asked for again"
    a_nak_begins_anew {
        let (mut link, request) = Link::requested(config());
        let again = only(&link.answer(&request, &answer(MessageKind::Nak)));
        assert_eq!((again.kind, again.options.address(options::REQUESTED_ADDRESS)), (MessageKind::Discover, None));
        assert_eq!(link.client.account().refused, Some(Refused { server: SERVER, address: ADDRESS }));
    }

    "netapply" "a server that offers and refuses in turn is asked more and more slowly"
    a_refusing_server_sets_no_pace {
        let (mut link, mut request) = Link::requested(config());
        let mut waits = Vec::new();
        for _ in 0..5 {
            let outputs = link.answer(&request, &answer(MessageKind::Nak));
            let begin = link.now;
            let discover = outputs.iter().find_map(read).unwrap_or_else(|| link.next_message().1);
            waits.push((link.now - begin).as_secs_f32().round());
            request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        }
        assert!(waits[0] == 0.0 && waits.is_sorted() && waits[4] > 25.0, "{waits:?}");
    }

    "RFC 2131, 4.4.1" "a NAK of another server than the one asked does not count"
    a_strangers_nak_is_dropped {
        let (mut link, request) = Link::requested(config());
        assert_eq!(link.answer(&request, &answer(MessageKind::Nak).with(options::SERVER, &[192, 0, 2, 66])), []);
        assert_eq!(link.client.state(), "REQUESTING");
    }

    "RFC 2131, 4.4.5" "at T1 the server that granted the lease is asked by unicast, with ciaddr and without 50 and 54"
    renewal_is_unicast {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let asked = link.client.lease().unwrap().asked;
        let (_, sent) = link.next_message();
        assert_eq!(link.now, Duration::from_millis(asked) + seconds(1800));
        assert_eq!((sent.kind, sent.from, sent.to, sent.held), (MessageKind::Request, ADDRESS, SERVER, ADDRESS));
        assert_eq!(sent.options.bytes(options::SERVER), None);
        assert_eq!(sent.options.bytes(options::REQUESTED_ADDRESS), None);
        assert_eq!(sent.seconds, 0);
    }

    "RFC 2131, 4.4.5" "at T2 every server is asked by broadcast"
    rebinding_is_broadcast {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let asked = Duration::from_millis(link.client.lease().unwrap().asked);
        let sent = loop {
            let (_, sent) = link.next_message();
            if sent.to == Ipv4Addr::BROADCAST {
                break sent;
            }
        };
        assert_eq!((link.now, sent.held, sent.from), (asked + seconds(3150), ADDRESS, ADDRESS));
        assert_eq!(link.client.state(), "REBINDING");
        assert!(link.client.lease().is_some(), "it is in force until it ends");
    }

    "RFC 2131, 4.4.5" "renewals are retried after half of the time that is left, at least a minute"
    renewals_are_retried_in_halves {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        link.next_message();
        let mut waits = Vec::new();
        while link.client.state() == "RENEWING" {
            waits.push(link.next_message().0.as_secs());
        }
        // From 1800 to 3150: 675, 337.5, 168.75, 84.4, 60 s, and T2 comes before the next minute is over.
        assert_eq!(waits, [675, 337, 168, 84, 60, 24]);
    }

    "RFC 2131, 4.4.5" "a lease that nobody renews ends, and the client begins anew"
    a_lease_ends {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let end = link.client.lease().unwrap().end().unwrap();
        let outputs = loop {
            let (_, outputs) = link.next();
            if outputs.contains(&Output::Lost(LeaseEnd::Expired)) {
                break outputs;
            }
            assert!(link.now < end);
        };
        assert_eq!((link.now, link.client.lease()), (end, None));
        let discover = only(&outputs);
        assert_eq!((discover.kind, discover.held), (MessageKind::Discover, NONE));
        assert_eq!(discover.options.address(options::REQUESTED_ADDRESS), Some(ADDRESS), "the last one is asked for");
    }

    "RFC 2131, 4.4.5" "an ACK extends the lease from the time of the renewal"
    an_ack_extends_the_lease {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        for _ in 0..1000 {
            let (_, renewal) = link.next_message();
            let begin = link.now;
            link.now += seconds(1);
            let outputs = link.answer(&renewal, &answer(MessageKind::Ack));
            assert!(matches!(outputs.as_slice(), [Output::Bound(lease)] if lease.end() == Some(begin + seconds(3600))));
            assert_eq!(link.client.state(), "BOUND");
        }
        assert!(link.now > seconds(20 * 86400), "twenty days in a moment");
    }

    "RFC 2131, 4.4.5" "a NAK to a renewal ends the lease at once"
    a_nak_ends_the_lease {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let (_, renewal) = link.next_message();
        let outputs = link.answer(&renewal, &answer(MessageKind::Nak));
        assert_eq!(outputs[0], Output::Lost(LeaseEnd::Refused));
        assert_eq!(only(&outputs).kind, MessageKind::Discover);
    }

    "RFC 2131, 3.3" "0xffffffff is for ever"
    an_infinite_lease_is_never_renewed {
        let mut link = Link::bound(&answer(MessageKind::Ack).lifetime(u32::MAX));
        while let Some(deadline) = link.client.deadline() {
            assert!(deadline <= seconds(1010), "only the announcements are left");
            link.next();
        }
        assert_eq!(link.client.state(), "BOUND");
    }

    "RFC 2131, 4.4.2" "an earlier lease is asked for without option 54, with option 50 and ciaddr 0"
    init_reboot {
        let kept = Link::bound(&answer(MessageKind::Ack)).client.lease().cloned();
        let mut link = Link::with(config(), kept.clone(), false);
        let request = only(&link.up());
        assert_eq!((request.kind, request.held, request.to), (MessageKind::Request, NONE, Ipv4Addr::BROADCAST));
        assert_eq!(request.options.address(options::REQUESTED_ADDRESS), Some(ADDRESS));
        assert_eq!(request.options.bytes(options::SERVER), None);
        assert_eq!(link.client.lease(), kept.as_ref(), "in force meanwhile");
        assert!(matches!(link.answer(&request, &answer(MessageKind::Ack)).as_slice(), [Output::Bound(_)]));
    }

    "RFC 2131, 3.2, 4" "where nobody confirms an earlier lease, an address is sought, and the lease stays in force"
    nobody_confirms {
        let kept = Link::bound(&answer(MessageKind::Ack)).client.lease().cloned();
        let mut link = Link::with(config(), kept, false);
        link.up();
        let kinds: Vec<MessageKind> = (0..2).map(|_| link.next_message().1.kind).collect();
        assert_eq!(kinds, [MessageKind::Request, MessageKind::Discover]);
        assert!(link.client.lease().is_some());
    }

    "RFC 2131, 3.2, 3" "a NAK to an earlier lease ends it"
    a_nak_after_a_reboot {
        let kept = Link::bound(&answer(MessageKind::Ack)).client.lease().cloned();
        let mut link = Link::with(config(), kept, false);
        let request = only(&link.up());
        let outputs = link.answer(&request, &answer(MessageKind::Nak));
        assert_eq!((&outputs[0], only(&outputs).kind), (&Output::Lost(LeaseEnd::Refused), MessageKind::Discover));
    }

    "RFC 2131, 3.7" "a lease that is known to hold costs no packet"
    a_confirmed_lease_goes_on {
        let kept = Link::bound(&answer(MessageKind::Ack)).client.lease().cloned();
        let mut link = Link::with(config(), kept.clone(), true);
        assert_eq!(link.up(), []);
        assert_eq!((link.client.state(), link.client.deadline()), ("BOUND", kept.unwrap().t1()));
    }

    "RFC 2131, 4.4.2" "a lease whose link lost its carrier is confirmed when that returns"
    carrier_that_returns {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        assert_eq!(link.event(ClientEvent::Carrier(false)), []);
        assert_eq!(link.client.deadline(), link.client.lease().unwrap().end());
        link.now += seconds(5);
        let request = only(&link.up());
        assert_eq!((request.kind, request.options.bytes(options::SERVER)), (MessageKind::Request, None));
    }

    "netapply" "when a link's carrier returns the back-off begins anew"
    carrier_begins_the_back_off_anew {
        let mut link = Link::new(config());
        link.up();
        for _ in 0..5 {
            link.next_message();
        }
        link.event(ClientEvent::Carrier(false));
        let first = only(&link.up());
        assert_eq!((first.kind, first.seconds), (MessageKind::Discover, 0));
        assert!(link.next_message().0 <= seconds(5));
    }

    "RFC 2131, 4.4.5" "a lease that ended without carrier is lost"
    a_lease_ends_without_carrier {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        link.event(ClientEvent::Carrier(false));
        assert_eq!(link.next().1, [Output::Lost(LeaseEnd::Expired)]);
        assert_eq!(only(&link.up()).options.address(options::REQUESTED_ADDRESS), Some(ADDRESS));
    }

    "RFC 2131, 4.4.6" "RELEASE goes to the server by unicast, with ciaddr and without option 50"
    a_release_is_unicast {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let outputs = link.event(ClientEvent::Release);
        let sent = only(&outputs);
        assert_eq!((sent.kind, sent.to, sent.held, sent.from), (MessageKind::Release, SERVER, ADDRESS, ADDRESS));
        assert_eq!(sent.options.address(options::SERVER), Some(SERVER));
        for code in [options::REQUESTED_ADDRESS, options::PARAMETER_LIST, options::LEASE_TIME] {
            assert_eq!(sent.options.bytes(code), None, "table 5");
        }
        assert_eq!(outputs[1], Output::Lost(LeaseEnd::Released));
        assert_eq!((link.up(), link.client.deadline()), (Vec::new(), None), "and nothing more is asked");
    }

    "RFC 2131, 3.1 (6)" "a lease that was granted and is still being probed is released, too"
    a_lease_is_released_before_it_is_used {
        let (mut link, request) = Link::requested(Config { detection: Detection::Fast, ..config() });
        link.answer(&request, &answer(MessageKind::Ack));
        assert_eq!(link.client.state(), "PROBING");
        let sent = only(&link.event(ClientEvent::Release));
        assert_eq!((sent.kind, sent.to, sent.held), (MessageKind::Release, SERVER, ADDRESS));
    }

    "RFC 5227, 2.1.1" "an address is probed three times before it is used"
    an_address_is_probed_before_it_is_used {
        for (detection, least, most) in [
            (Detection::Fast, 600, 600),
            (Detection::Standard, 4000, 7000),
        ] {
            let (mut link, request) = Link::requested(Config { detection, ..config() });
            let begin = link.now;
            let mut outputs = link.answer(&request, &answer(MessageKind::Ack));
            while !outputs.iter().any(|o| matches!(o, Output::Bound(_))) {
                outputs.extend(link.next().1);
            }
            let probes = outputs.iter().filter(|o| **o == Output::Arp(Arp::probe(hardware(MAC), ADDRESS))).count();
            assert_eq!(probes, 3);
            let took = (link.now - begin).as_millis();
            assert!((least..=most).contains(&took), "{took} ms");
        }
    }

    "RFC 2131, 3.1, 5; RFC 5227, 2.1.1" "an address that somebody has is declined, and ten seconds pass"
    an_address_in_use_is_declined {
        let speaks = Arp { reply: true, mac: hardware(OTHER), sender: ADDRESS, target: ADDRESS };
        let probes_too = Arp::probe(hardware(OTHER), ADDRESS);
        for arp in [speaks, probes_too] {
            let (mut link, request) = Link::requested(Config { detection: Detection::Fast, ..config() });
            link.answer(&request, &answer(MessageKind::Ack));
            link.next();
            let decline = only(&link.event(ClientEvent::Arp(arp)));
            assert_eq!((decline.kind, decline.to, decline.held), (MessageKind::Decline, Ipv4Addr::BROADCAST, NONE));
            assert_eq!(decline.options.address(options::REQUESTED_ADDRESS), Some(ADDRESS));
            assert_eq!(decline.options.address(options::SERVER), Some(SERVER));
            assert_eq!(decline.options.bytes(options::PARAMETER_LIST), None, "table 5");
            assert_eq!(link.client.account().conflict, Some(Conflict { address: ADDRESS, mac: hardware(OTHER) }));
            let (waited, discover) = link.next_message();
            assert_eq!((waited, discover.kind), (seconds(10), MessageKind::Discover));
            assert_eq!(discover.options.address(options::REQUESTED_ADDRESS), None);
        }
    }

    "RFC 5227, 2.1.1" "our own probes and what others say of other addresses are no conflict"
    other_arp_is_no_conflict {
        let (mut link, request) = Link::requested(Config { detection: Detection::Fast, ..config() });
        link.answer(&request, &answer(MessageKind::Ack));
        let asks = Arp { reply: false, mac: hardware(OTHER), sender: SERVER, target: ADDRESS };
        for arp in [Arp::probe(hardware(MAC), ADDRESS), asks, Arp::announcement(hardware(OTHER), SERVER)] {
            assert_eq!(link.event(ClientEvent::Arp(arp)), []);
        }
        assert!(link.client.probes());
    }

    "RFC 5227, 2.1.1" "after ten conflicts a minute passes before the next try"
    many_conflicts_slow_down {
        let (mut link, mut request) = Link::requested(Config { detection: Detection::Fast, ..config() });
        let mut waits = Vec::new();
        for _ in 0..11 {
            link.answer(&request, &answer(MessageKind::Ack));
            link.event(ClientEvent::Arp(Arp::announcement(hardware(OTHER), ADDRESS)));
            let (waited, discover) = link.next_message();
            waits.push(waited.as_secs());
            request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        }
        assert_eq!(waits, [10, 10, 10, 10, 10, 10, 10, 10, 10, 60, 60]);
    }

    "RFC 5227, 2.3" "an address is announced twice, two seconds apart"
    an_address_is_announced {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        let announcement = [Output::Arp(Arp::announcement(hardware(MAC), ADDRESS))];
        assert_eq!(link.next(), (Duration::ZERO, announcement.to_vec()));
        assert_eq!(link.next(), (seconds(2), announcement.to_vec()));
        assert!(link.next_message().0 > seconds(1000));
    }

    "RFC 8925, 3.2" "a link that can do without IPv4 asks for option 108 and stays off for as long, at least five minutes"
    ipv6_only {
        let with = Config { ipv6_only: true, ..config() };
        for (seconds_asked, waits) in [(1800_u32, 1800), (1, 300)] {
            let mut link = Link::new(with.clone());
            let discover = only(&link.up());
            assert!(discover.options.bytes(options::PARAMETER_LIST).unwrap().contains(&options::IPV6_ONLY));
            let offer = answer(MessageKind::Offer).with(options::IPV6_ONLY, &seconds_asked.to_be_bytes());
            assert_eq!(link.answer(&discover, &offer), []);
            assert_eq!(link.next_message().0, seconds(waits));
        }
        let mut link = Link::new(config());
        let discover = only(&link.up());
        let offer = answer(MessageKind::Offer).with(options::IPV6_ONLY, &[0, 0, 1, 0]);
        assert_eq!(only(&link.answer(&discover, &offer)).kind, MessageKind::Request, "it was not asked for");
    }

    "RFC 2131, 4.1" "after two messages without an answer the broadcast bit is set, and never once there is an address"
    the_broadcast_bit {
        let mut link = Link::new(config());
        assert!(!only(&link.up()).broadcast_flag);
        assert!(!link.next_message().1.broadcast_flag);
        let (_, discover) = link.next_message();
        assert!(discover.broadcast_flag);
        let request = only(&link.answer(&discover, &answer(MessageKind::Offer)));
        assert!(request.broadcast_flag, "what answered came by broadcast");
        link.answer(&request, &answer(MessageKind::Ack));
        assert!(!link.next_message().1.broadcast_flag);
    }

    "RFC 2132, 3.14, 9.2, 9.13; RFC 3004" "name, lifetime and classes are sent where they are given"
    what_is_given_is_sent {
        let with = Config {
            host_name: Some("node1".into()),
            vendor_class: Some("v".into()),
            user_class: Some("uu".into()),
            lifetime: Some(60),
            ..config()
        };
        let (_, request) = Link::requested(with);
        assert_eq!(request.options.text(options::HOST_NAME), Some("node1"));
        assert_eq!(request.options.text(options::VENDOR_CLASS), Some("v"));
        assert_eq!(request.options.bytes(options::USER_CLASS), Some(&b"\x02uu"[..]));
        assert_eq!(request.options.long(options::LEASE_TIME), Some(60));
        assert_eq!(request.options.short(options::LONGEST_MESSAGE), Some(1472));
        let (_, plain) = Link::requested(config());
        for code in [options::HOST_NAME, options::VENDOR_CLASS, options::USER_CLASS, options::LEASE_TIME] {
            assert_eq!(plain.options.bytes(code), None);
        }
    }

    "netapply" "a second server's offer is remembered and changes nothing"
    a_second_server_is_remembered {
        let (mut link, request) = Link::requested(config());
        let rogue = answer(MessageKind::Offer).with(options::SERVER, &[198, 51, 100, 1]).address([198, 51, 100, 9].into());
        assert_eq!(link.answer(&request, &rogue), []);
        let servers: Vec<Ipv4Addr> = link.client.account().offers.iter().map(|o| o.server).collect();
        assert_eq!(servers, [SERVER, [198, 51, 100, 1].into()]);
        // It may come as late as while the address is probed.
        let (mut link, request) = Link::requested(Config { detection: Detection::Fast, ..config() });
        link.answer(&request, &answer(MessageKind::Ack));
        assert_eq!((link.answer(&request, &rogue), link.client.state()), (Vec::new(), "PROBING"));
        assert_eq!(link.answer(&request, &rogue.without(options::SUBNET_MASK).address(NONE)), []);
        while link.client.lease().is_none() {
            link.next();
        }
        let servers: Vec<Ipv4Addr> = link.client.account().offers.iter().map(|o| o.server).collect();
        assert_eq!(servers, [Ipv4Addr::from([198, 51, 100, 1])]);
    }

    "netapply" "ten thousand offers cost a bounded amount of memory"
    a_flood_is_bounded {
        let (mut link, request) = Link::requested(config());
        for number in 0..10_000_u32 {
            let address = Ipv4Addr::from(u32::from(ADDRESS) + number);
            link.answer(&request, &answer(MessageKind::Offer).address(address));
            link.event(ClientEvent::Message(&[0; 10]));
        }
        let account = link.client.account();
        assert_eq!((account.offers.len(), account.malformed), (MOST_SERVERS, 10_000));
    }

    "netapply" "a machine that slept past the end of its lease gives it up when it wakes"
    sleep_past_the_end {
        let mut link = Link::bound(&answer(MessageKind::Ack));
        link.now += seconds(100_000);
        let outputs = link.event(ClientEvent::Timer);
        assert_eq!((&outputs[0], only(&outputs).kind), (&Output::Lost(LeaseEnd::Expired), MessageKind::Discover));
    }

    "netapply" "between its timers a bound client waits for no packet"
    a_bound_client_does_not_listen {
        let link = Link::bound(&answer(MessageKind::Ack));
        assert!(!link.client.listens() && !link.client.probes());
    }

    "netapply" "a lease survives the end of the program: it is written and read back"
    a_lease_is_written_and_read_back {
        let lease = Link::bound(&answer(MessageKind::Ack).with(options::ROUTERS, &SERVER.octets())).client.lease().cloned();
        let text = serde_json::to_string(&lease).unwrap();
        assert_eq!(serde_json::from_str::<Option<Lease>>(&text).unwrap(), lease);
    }
}

/// Any events in any order: no panic, a deadline whenever something is left to do, never two leases, and time never
/// stands still.
#[test]
fn any_order_of_events() {
    let mut seed = 1_u32;
    let mut random = || pseudorandom(&mut seed) >> 8;
    for round in 0..300 {
        let detection = [Detection::Off, Detection::Fast, Detection::Standard][round % 3];
        let mut link = Link::new(Config { detection, ipv6_only: round % 5 == 0, ..config() });
        let mut last: Option<Sent> = None;
        for _ in 0..200 {
            let kinds = [MessageKind::Offer, MessageKind::Ack, MessageKind::Nak];
            let outputs = match random() % 8 {
                0 => link.event(ClientEvent::Carrier(random() % 2 == 0)),
                1 if random() % 20 == 0 => link.event(ClientEvent::Release),
                2 => link.event(ClientEvent::Arp(Arp::announcement(hardware(OTHER), ADDRESS))),
                3..=5 => {
                    let Some(to) = &last else { continue };
                    let mut answer = answer(kinds[random() as usize % 3])
                        .lifetime([3, 4, 60, u32::MAX][random() as usize % 4]);
                    if random() % 4 == 0 {
                        answer = answer.with(options::IPV6_ONLY, &[0, 0, 1, 0]);
                    }
                    let mut bytes = answer.bytes(to.xid, MAC);
                    if random() % 8 == 0 {
                        let at = random() as usize % bytes.len();
                        bytes[at] = random() as u8;
                    }
                    link.event(ClientEvent::Message(&bytes))
                }
                _ if link.client.deadline().is_some() => {
                    let before = (link.now, link.client.clone().state());
                    let (waited, outputs) = link.next();
                    let idle = waited.is_zero() && outputs.is_empty();
                    assert!(!idle || link.client.state() != before.1, "nothing happens in {}", before.1);
                    outputs
                }
                _ => continue,
            };
            last = outputs.iter().filter_map(read).next_back().or(last);
            assert!(link.client.deadline().is_some() || !link.client.listens());
        }
    }
}
