//! Causes in the image: programs that ask other name servers, and tools that manage a described link.

use super::{Case, Cause, Certainty};
use crate::diagnostic::Code;
use crate::verify::checks::Check;

/// A described name server is not used. One cause for all servers, because the reason is the same for all.
pub(super) fn names(case: &Case<'_>) -> Vec<Cause> {
    let names = case.evidence.image.names.as_ref();
    let cause = |(position, check): (usize, &Check)| {
        let unused = names?.unused(&check.subject.ip()?).ok()??;
        let (message, action) = unused.words();
        let message = format!("the described name servers are not used: {message}");
        Some(Cause::new(Code::NamesUnused, Certainty::Proved, "", message, action).explains([position]))
    };
    case.failed(Code::CheckNames).filter_map(cause).collect()
}

/// Another tool manages the link.
pub(super) fn tools(case: &Case<'_>) -> Vec<Cause> {
    let cause = |(position, check): (usize, &Check)| {
        let managed = case.evidence.image.managed.iter().find(|managed| managed.link == check.link)?;
        let (link, tool) = (&check.link, &managed.tool);
        let action = match tool.as_str() {
            "NetworkManager" => format!("Run netapply apply, or `nmcli device set {link} managed no`"),
            "systemd-networkd" => "Run netapply apply, or remove that file".to_owned(),
            tool => format!("Run netapply apply and restart {tool}, or configure it to leave {link} alone"),
        };
        let message = format!("{tool} manages {link} and may change it: {}", managed.seen);
        Some(Cause::new(Code::ToolManages, Certainty::Proved, link, message, action).explains([position]))
    };
    case.failed(Code::CheckTools).filter_map(cause).collect()
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Code;
    use crate::handoff::state::{Image, Managed, NameLookup};
    use crate::handoff::{End, ResolvConf, Server};
    use crate::verify::checks::Outcome;
    use crate::verify::fixture::{ip, judged, one_nic};
    use crate::verify::lookups::View;

    type Outcomes = Vec<(Code, Outcome)>;
    type Causes = Vec<(Code, String)>;

    /// The causes for a working NIC with a name server, depending on the image.
    fn seen(image: Image) -> (Outcomes, Causes) {
        let (mut input, mut evidence) = one_nic();
        input.resolvers = vec![ip("192.0.2.53")];
        evidence.image = image;
        let checks = judged(&input, &evidence);
        let of_image = checks.iter().filter(|c| [Code::CheckNames, Code::CheckTools].contains(&c.code));
        let outcomes = of_image.map(|c| (c.code, c.outcome)).collect();
        let causes = super::super::explain(&View::new(&input), &evidence, &checks);
        let causes = causes.into_iter().filter(|c| [Code::NamesUnused, Code::ToolManages].contains(&c.code));
        (outcomes, causes.map(|c| (c.code, c.message)).collect())
    }

    fn with_servers(servers: &[&str]) -> NameLookup {
        let servers = servers.iter().map(|s| Server { ip: ip(s), zone: None }).collect();
        let path = "/etc/resolv.conf".to_owned();
        NameLookup {
            resolv_conf: ResolvConf { path, end: End::File, servers, ..ResolvConf::default() },
            ..NameLookup::default()
        }
    }

    #[test]
    fn an_image_that_was_not_observed_is_not_judged() {
        assert_eq!(seen(Image::default()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn servers_that_programs_do_not_ask_and_tools_that_hold_a_link_are_faults() {
        let image = |servers, managed| Image { names: Some(with_servers(servers)), managed };
        let (outcomes, causes) = seen(image(&["192.0.2.53"], Vec::new()));
        assert_eq!(outcomes, [(Code::CheckNames, Outcome::Passed), (Code::CheckTools, Outcome::Passed)]);
        assert_eq!(causes, []);

        let tool = "NetworkManager".to_owned();
        let managed = Managed { link: "eth0".into(), tool, seen: "its connection \"x\" is up on it".into() };
        let (outcomes, causes) = seen(image(&["192.0.2.1"], vec![managed]));
        assert_eq!(outcomes, [(Code::CheckNames, Outcome::Failed), (Code::CheckTools, Outcome::Failed)]);
        assert_eq!(
            causes,
            [
                (
                    Code::NamesUnused,
                    "the described name servers are not used: programs ask 192.0.2.1: /etc/resolv.conf"
                        .to_owned()
                ),
                (
                    Code::ToolManages,
                    "NetworkManager manages eth0 and may change it: its connection \"x\" is up on it"
                        .to_owned()
                ),
            ]
        );
        // A local resolver may forward to any server.
        let (outcomes, causes) = seen(image(&["127.0.0.1"], Vec::new()));
        assert_eq!((outcomes[0].1, causes), (Outcome::NotChecked, Vec::new()));
    }
}
