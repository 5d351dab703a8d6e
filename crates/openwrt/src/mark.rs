//! The mark of what is ours: a section's name, and what stands in it.
//!
//! Neither alone is enough: a section of somebody else's that merely has a name of ours, or mentions us, is left alone.
//! In the packages `network` and `dhcp` an option says which network it is of. fw4 warns of every option that it does
//! not know, and any warning of it means that something was left out; so there a rule says it in its name, which
//! LuCI shows, and a zone by having a name of ours.

use rhyzome_uci::Section;

use crate::names::PREFIX;

/// The option with the network's id.
pub const OPTION: &str = "rhyzome";

/// What the names of our rules in the firewall begin with.
pub const FIREWALL_NAME: &str = "Rhyzome ";

/// Whether a section of a package is ours.
pub fn is_ours(package: &str, section: &Section) -> bool {
    let has_our_name = |text: &str| text.starts_with(PREFIX);
    let Some(name) = section.name().filter(|name| has_our_name(name.as_str())) else {
        return false;
    };
    if package != "firewall" {
        return section.text_of(OPTION).is_some();
    }
    let says = section.text_of("name").unwrap_or_default();
    match section.kind().as_str() {
        // `rz_v100_zone` is about `rz_v100`.
        "zone" => has_our_name(says) && name.as_str().strip_suffix("_zone") == Some(says),
        _ => says.starts_with(FIREWALL_NAME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyzome_uci::Package;

    fn check(package: &str, text: &str, expect: bool) {
        let read = Package::read(package.parse().unwrap(), text).unwrap();
        assert_eq!(is_ours(package, &read.sections()[0]), expect, "{text}");
    }

    #[test]
    fn a_section_is_ours_by_its_name_and_what_it_says() {
        check(
            "network",
            "config interface rz_v1\noption rhyzome 'id'",
            true,
        );
        check("network", "config interface rz_v1", false);
        check(
            "network",
            "config interface lan\noption rhyzome 'id'",
            false,
        );
        check("network", "config interface\noption rhyzome 'id'", false);
    }

    #[test]
    fn in_the_firewall_no_option_is_added() {
        check(
            "firewall",
            "config rule rz_v1_dns\noption name 'Rhyzome x'",
            true,
        );
        check("firewall", "config rule rz_v1_dns\noption name 'x'", false);
        check(
            "firewall",
            "config rule rz_v1_dns\noption rhyzome 'id'",
            false,
        );
        check(
            "firewall",
            "config zone rz_v1_zone\noption name rz_v1",
            true,
        );
        check("firewall", "config zone rz_v1_zone\noption name lan", false);
        check("firewall", "config zone rz_v1\noption name rz_v1", false);
    }
}
