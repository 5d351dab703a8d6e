//! What an ID token says, and whether that is good now.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;

/// How far an issuer's clock may be ahead of ours, in seconds. Behind it may not be: what has expired has expired.
const AHEAD: i64 = 60;

/// What an ID token says of somebody.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Claims {
    /// Whom the issuer means: never given to somebody else.
    pub sub: String,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Claims {
    /// A claim that is one text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.at(claim)?.as_str()
    }

    /// Whether a claim is this text, or a list that has it.
    pub fn has(&self, claim: &str, value: &str) -> bool {
        match self.at(claim) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(value)),
            _ => false,
        }
    }

    /// A claim by its name, or by a path with dots as in `realm_access.roles`.
    fn at(&self, claim: &str) -> Option<&Value> {
        if let Some(value) = self.others.get(claim) {
            return Some(value);
        }
        let mut parts = claim.split('.');
        let first = self.others.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    fn seconds(&self, claim: &'static str) -> Result<Option<i64>, Error> {
        let Some(value) = self.others.get(claim) else {
            return Ok(None);
        };
        let whole = value.as_i64();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "seconds with a fraction are possible (RFC 7519), and are cut"
        )]
        let cut = || value.as_f64().filter(|n| n.is_finite()).map(|n| n as i64);
        match whole.or_else(cut) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Error::Malformed(format!("its {claim} is no time"))),
        }
    }

    /// Checks all but the signature. `now` in seconds since 1970.
    pub(crate) fn check(&self, issuer: &str, client: &str, now: i64) -> Result<(), Error> {
        match self.text("iss") {
            Some(found) if found == issuer => {}
            Some(found) => {
                return Err(Error::WrongIssuer {
                    found: found.to_owned(),
                    expected: issuer.to_owned(),
                });
            }
            None => return Err(Error::Missing("issuer (iss)")),
        }
        if !self.has("aud", client) {
            return Err(Error::Audience(client.to_owned()));
        }
        // Whom it was made for, where it is for several (section 3.1.3.7, 4 and 5).
        let several = self
            .others
            .get("aud")
            .and_then(Value::as_array)
            .is_some_and(|all| all.len() > 1);
        let authorized = self.text("azp");
        if authorized.is_some_and(|azp| azp != client) || (several && authorized.is_none()) {
            return Err(Error::Audience(client.to_owned()));
        }
        let expires = self.seconds("exp")?.ok_or(Error::Missing("expiry (exp)"))?;
        if now >= expires {
            return Err(Error::Expired);
        }
        let issued = self
            .seconds("iat")?
            .ok_or(Error::Missing("time of issue (iat)"))?;
        let begins = self.seconds("nbf")?.unwrap_or(issued);
        if issued.max(begins) > now.saturating_add(AHEAD) {
            return Err(Error::TooEarly);
        }
        if self.sub.is_empty() || self.sub.len() > 255 || self.sub.contains(char::is_control) {
            return Err(Error::Missing("subject (sub)"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(change: impl FnOnce(&mut Value), expect: &str) {
        let mut claims =
            json!({"iss": "https://id", "sub": "ada", "aud": "rhyzome", "iat": 1000, "exp": 2000});
        change(&mut claims);
        let read: Result<Claims, _> = serde_json::from_value(claims);
        let got = match read {
            Ok(claims) => claims.check("https://id", "rhyzome", 1500).err(),
            Err(e) => Some(Error::Malformed(e.to_string())),
        };
        let got = got.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            got.contains(expect) && got.is_empty() == expect.is_empty(),
            "{got:?}, not {expect:?}"
        );
    }

    #[test]
    fn a_token_is_for_us_and_for_now() {
        check(|_| {}, "");
        check(|c| c["aud"] = json!(["rhyzome"]), "");
        check(|c| c["exp"] = json!(1501), "");
        check(|c| c["exp"] = json!(1500), "has expired");
        check(|c| c["exp"] = json!(1499), "has expired");
        check(|c| c["exp"] = json!("2000"), "its exp is no time");
        check(|c| c["exp"] = json!(1e300), "");
        check(|c| c["exp"] = Value::Null, "its exp is no time");
        check(
            |c| drop(c.as_object_mut().unwrap().remove("exp")),
            "no expiry",
        );
        check(
            |c| drop(c.as_object_mut().unwrap().remove("iat")),
            "no time of issue",
        );
        check(|c| c["iat"] = json!(1560), "");
        check(|c| c["iat"] = json!(1561), "not good yet");
        check(|c| c["nbf"] = json!(1561), "not good yet");
        check(|c| c["nbf"] = json!(1560), "");
    }

    #[test]
    fn a_token_for_another_is_not_for_us() {
        check(|c| c["aud"] = json!("wiki"), "not for this site");
        check(|c| c["aud"] = json!([]), "not for this site");
        check(
            |c| c["aud"] = json!(["wiki", "rhyzome"]),
            "not for this site",
        );
        check(
            |c| {
                c["aud"] = json!(["wiki", "rhyzome"]);
                c["azp"] = json!("rhyzome");
            },
            "",
        );
        check(|c| c["azp"] = json!("wiki"), "not for this site");
        check(|c| c["iss"] = json!("https://id/"), "is of the issuer");
        check(|c| c["iss"] = json!(["https://id"]), "no issuer");
        check(|c| c["sub"] = json!(""), "no subject");
        check(|c| c["sub"] = json!("a\u{0}b"), "no subject");
        check(
            |c| drop(c.as_object_mut().unwrap().remove("sub")),
            "missing field",
        );
    }

    #[test]
    fn a_claim_may_be_a_text_a_list_or_deeper() {
        let claims: Claims = serde_json::from_value(json!({
            "sub": "ada", "groups": ["ops", "garden"], "team": "ops", "realm_access": {"roles": ["x"]}, "a.b": "whole"
        }))
        .unwrap();
        assert!(claims.has("groups", "garden") && claims.has("team", "ops"));
        assert!(claims.has("realm_access.roles", "x") && claims.has("a.b", "whole"));
        assert!(
            !claims.has("groups", "gard")
                && !claims.has("realm_access", "x")
                && !claims.has("nothing", "x")
        );
    }
}
