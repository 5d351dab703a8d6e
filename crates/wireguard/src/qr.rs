//! A client's configuration as a QR code in a terminal, for the WireGuard app of a telephone.
//!
//! Two rows of modules share a line of text through half blocks. The light modules are the ones
//! drawn, since most terminals write light on dark; most scanners take the inverse as well.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::config::ClientConfig;

/// Why there is no QR code.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// More than a QR code can hold (2953 bytes, ISO/IEC 18004): too many networks.
    #[error("the configuration of {length} bytes is too long for a QR code")]
    TooLong {
        /// The length of the configuration's text.
        length: usize,
    },
}

/// Draws the configuration, private key included, as lines of text.
///
/// # Errors
/// The configuration is too long.
pub fn render(config: &ClientConfig) -> Result<Zeroizing<String>, QrError> {
    let text = config.to_text();
    // The lowest level of error correction: a screen has no dirt, and large codes scan badly.
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L);
    let code = code.map_err(|_| QrError::TooLong { length: text.len() })?;
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(Zeroizing::new(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(networks: usize) -> ClientConfig {
        let mut text =
            "[Interface]\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n".to_owned();
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        for index in 0..networks {
            let key = crate::key::PrivateKey::generate(&mut rng).public_key();
            text.push_str(&format!(
                "[Peer]\nPublicKey = {key}\nEndpoint = vpn.example:51820\nAllowedIPs = 10.{index}.0.0/16\n"
            ));
        }
        ClientConfig::parse(&text).unwrap()
    }

    #[test]
    fn a_configuration_is_drawn_with_half_blocks_and_a_border() {
        let drawn = render(&config(1)).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(lines.len() * 2 >= width && (lines.len() - 1) * 2 <= width);
        assert!(drawn.chars().all(|c| " ▀▄█\n".contains(c)));
        // The quiet zone: four modules, here two lines of one and the same character.
        assert!(lines[..2].iter().all(|line| line.chars().all(|c| c == '█')));
    }

    #[test]
    fn a_configuration_of_too_many_networks_is_refused() {
        assert!(matches!(render(&config(40)), Err(QrError::TooLong { .. })));
    }
}
