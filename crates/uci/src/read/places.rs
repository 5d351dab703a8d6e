//! Where in a text sections and options stand, for what is said of them to people.

use crate::Name;

/// The lines of one package's text, from 1. What stands there several times is where it stands first; a
/// command that goes over lines is where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// In the sections' order.
    pub(super) sections: Vec<usize>,
    options: Vec<(usize, Name, usize)>,
}

impl Places {
    /// Where the section with this number, from 0, begins.
    pub fn section(&self, section: usize) -> Option<usize> {
        self.sections.get(section).copied()
    }

    /// Where an option of the section with this number, from 0, gets a value.
    pub fn option(&self, section: usize, option: &str) -> Option<usize> {
        let mut all = self.options.iter();
        all.find(|(of, name, _)| *of == section && name.as_str() == option)
            .map(|(.., line)| *line)
    }

    pub(super) fn note(&mut self, section: usize, option: &Name, line: usize) {
        if self.option(section, option.as_str()).is_none() {
            self.options.push((section, option.clone(), line));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Package;

    #[test]
    fn sections_and_options_are_found_in_the_text() {
        let text = "\n# ours\nconfig nic trunk\n\toption device 'eth1'\n\toption device eth2\n\
            config nic\n\tlist port a; list port b\nconfig nic trunk\n\toption mac x\n";
        let (package, places) =
            Package::read_placed("rhyzome".parse().unwrap(), text).expect("it is UCI");
        assert_eq!(package.sections().len(), 2);
        assert_eq!((places.section(0), places.section(1)), (Some(3), Some(6)));
        assert_eq!(places.option(0, "device"), Some(4));
        assert_eq!(places.option(1, "port"), Some(7));
        assert_eq!(places.option(0, "mac"), Some(9));
        assert_eq!((places.option(1, "mac"), places.section(2)), (None, None));
    }
}
