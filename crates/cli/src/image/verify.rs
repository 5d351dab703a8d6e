//! `rhyzome image verify`: the core reads the bytes, this says how far it is.

use std::time::Duration;

use rhyzome_model::Name;
use rhyzome_model::image::ImageVerification;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Cx;
use crate::wait;

const LOOK: Duration = Duration::from_millis(300);

pub async fn verify(cx: &Cx, name: &Name) -> Result<(), Failure> {
    let session = cx.session()?;
    let images = session.scope.image();
    let reading = async {
        let mut found = images.verify(name).await?;
        let progress = Progress::bytes(session.output, Some(size(&found)));
        progress.say(&format!("image {name}: reading"));
        while found.running {
            let read = found.blobs.iter().filter_map(|blob| blob.read);
            progress.at(read.sum());
            sleep(LOOK).await;
            found = images.verification(name).await?;
        }
        Ok::<_, Failure>(found)
    };
    let look = || "the core reads on; run it again to hear what came of it".to_owned();
    let found = wait::asked(reading, look).await?;
    let wrong = found.blobs.iter().filter_map(|blob| {
        let damage = blob.damage.as_ref()?;
        Some(format!("sha256:{}: {damage}; import it again", blob.digest))
    });
    let unread = found.blobs.iter().filter_map(|blob| {
        let why = blob.unread.as_ref()?;
        Some(format!("sha256:{} could not be read: {why}", blob.digest))
    });
    let wrong: Vec<String> = wrong.chain(unread).collect();
    if wrong.is_empty() {
        let size = super::import::rough(size(&found));
        return cx
            .output
            .outcome(&found, &format!("image {name} is whole, {size} were read"));
    }
    Err(Failure::Failed {
        kind: "image",
        name: name.to_string(),
        reason: wrong.join("; "),
    })
}

fn size(found: &ImageVerification) -> u64 {
    found.blobs.iter().map(|blob| blob.size.as_bytes()).sum()
}
