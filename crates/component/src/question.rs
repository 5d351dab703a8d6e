//! One question to a DNS server, as bytes: the IPv4 addresses of a name (RFC 1035). Whoever asks it sends it.

use std::net::Ipv4Addr;

const ID: [u8; 2] = [0x72, 0x77];
const A_IN: [u8; 4] = [0, 1, 0, 1];

/// A question, and how its answer is read.
#[derive(Clone, Debug)]
pub struct Question(Vec<u8>);

impl Question {
    /// Recursion is desired.
    pub fn of(name: &str) -> Self {
        let mut packet = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        for label in name.split('.') {
            // Labels have at most 63 bytes.
            packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            packet.extend(label.bytes());
        }
        packet.push(0);
        packet.extend(A_IN);
        Self(packet)
    }

    pub fn packet(&self) -> &[u8] {
        &self.0
    }

    /// The answers of type A; none where it is no answer to this. Each begins with a name, which dnsmasq writes as a
    /// pointer of two bytes.
    pub fn answers(&self, packet: &[u8]) -> Option<Vec<Ipv4Addr>> {
        let is_answer =
            packet.starts_with(&ID) && packet.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let mut rest = is_answer.then(|| packet.get(self.0.len()..)).flatten()?;
        let mut found = Vec::new();
        while let [0xc0..=0xff, _, kind @ ..] = rest {
            let (head, tail) = kind.split_at_checked(10)?;
            let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
            let (data, next) = tail.split_at_checked(length)?;
            if let (true, Ok(octets)) = (head.starts_with(&A_IN), <[u8; 4]>::try_from(data)) {
                found.push(octets.into());
            }
            rest = next;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(question: &Question, flags: u8) -> Vec<u8> {
        let mut packet = question.packet().to_vec();
        packet[2] = flags;
        packet.extend([0xc0, 12]);
        packet.extend(A_IN);
        packet.extend([0, 0, 0, 0, 0, 4, 10, 1, 2, 3]);
        packet
    }

    #[test]
    fn addresses_are_read_from_an_answer_and_nothing_from_rubbish() {
        let question = Question::of("a.b");
        let (packet, asked) = (answer(&question, 0x81), question.packet().len());
        assert_eq!(question.answers(&packet), Some(vec![[10, 1, 2, 3].into()]));
        assert_eq!(question.answers(&packet[..asked]), Some(Vec::new()));
        for end in 0..packet.len() {
            let found = question.answers(&packet[..end]).unwrap_or_default();
            assert_eq!(found, [Ipv4Addr::UNSPECIFIED; 0], "{end}");
        }
        let echo = answer(&question, 0x01);
        assert_eq!(question.answers(&echo), None, "a question is no answer");
    }
}
