//! A terminal that passes every key on, and is as it was afterwards.

use std::io::{IsTerminal, stdin, stdout};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// Whether somebody sits at both ends.
pub fn is_there() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Raw as long as it lives; also a panic puts the terminal back.
pub struct Raw(Termios);

impl Raw {
    pub fn begin() -> Result<Self, Failure> {
        let failed = |errno: nix::errno::Errno| Failure::Output {
            source: errno.into(),
        };
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSANOW, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.0);
    }
}
