//! The customer's screen: pictures are put together and the latest is kept in a file; input goes the other way where
//! control was given.

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::{
    client::{
        Reader, Writer,
        file::{FileError, Landing, hex, landing_place},
        picture::{Canvas, Viewer},
        transfer::Facts,
    },
    wire::{Flags, Kind, control::Value, frame::CloseReason},
};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// How often the picture in the file is replaced.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

pub struct Screen {
    input: Option<Writer>,
    shown: watch::Receiver<u64>,
    stop: CancellationToken,
    watching: JoinHandle<()>,
    viewer: Arc<Mutex<Viewer>>,
    began: Instant,
    save: Option<String>,
}

impl Screen {
    pub async fn open(console: &Console, control: bool, save: Option<String>) -> Result<Self, Fault> {
        let args = Facts::from([("control".to_owned(), Value::Bool(control))]);
        let opened = console.open("screen", args).await?;
        let pictures = opened.channels.iter().find(|channel| channel.writer == 0);
        let pictures = pictures.ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
        let input = console.hub.own(&opened).map(|channel| console.hub.client.writer(channel));
        let (shows, shown) = watch::channel(0);
        let stop = CancellationToken::new();
        let reader = console.hub.client.reader(pictures);
        let viewer = Arc::new(Mutex::new(Viewer::default()));
        let watching = tokio::spawn(watch(reader, shows, stop.clone(), save.clone(), Arc::clone(&viewer)));
        Ok(Self { input, shown, stop, watching, viewer, began: Instant::now(), save })
    }

    /// Waits until so many pictures were shown, or no more come.
    pub async fn shown(&mut self, count: u64) {
        let _ = self.shown.wait_for(|shown| *shown >= count).await;
    }

    pub async fn input(&mut self, kind: Kind, bytes: Bytes) -> Result<(), Fault> {
        let writer = self.input.as_mut().ok_or_else(|| Fault::Wrong("the screen is not under control".into()))?;
        Ok(writer.write(kind, Flags::default(), bytes).await?)
    }

    /// The latest picture, into a file.
    pub fn shot(&self, file: &str) -> Result<Answer, Fault> {
        let picture = self.viewer.lock().canvas().map(Canvas::to_png);
        let picture = picture.ok_or_else(|| Fault::Wrong("no picture has come yet".into()))?;
        write(Path::new(file), &picture)?;
        let said = format!("{} bytes of PNG are in {}", picture.len(), plain(file));
        Ok(Answer::new(said, json!({"file": file, "bytes": picture.len()})))
    }

    /// How large it is and how often it changes.
    pub fn about(&self) -> Answer {
        let viewer = self.viewer.lock();
        let (width, height) = viewer.canvas().map_or((0, 0), Canvas::size);
        let rate = viewer.shown as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let kept = self.save.as_ref().map_or_else(String::new, |file| format!(", the latest is in {file}"));
        let text = format!("{} pictures of {width}×{height}, {rate:.1} a second{kept}", viewer.shown);
        let shown = viewer.shown;
        Answer::new(text, json!({"pictures": shown, "width": width, "height": height, "file": self.save}))
    }

    pub async fn stop(mut self) -> Answer {
        self.stop.cancel();
        if let Some(mut input) = self.input.take() {
            let _ = input.finish().await;
        }
        if let Err(error) = (&mut self.watching).await {
            tracing::error!(%error, "the screen was not watched to its end");
        }
        self.about()
    }
}

async fn watch(
    mut reader: Reader,
    shows: watch::Sender<u64>,
    stop: CancellationToken,
    save: Option<String>,
    viewer: Arc<Mutex<Viewer>>,
) {
    let mut saved = None::<Instant>;
    loop {
        let chunk = tokio::select! {
            chunk = reader.read() => chunk,
            () = stop.cancelled() => break,
        };
        let Ok(Some(chunk)) = chunk else { break };
        let taken = viewer.lock().take(chunk.flags, &chunk.bytes);
        match taken {
            Ok(true) => {
                if saved.is_none_or(|saved| saved.elapsed() >= SAVE_INTERVAL) {
                    saved = Some(Instant::now());
                    keep(&viewer.lock(), save.as_deref());
                }
                shows.send_replace(viewer.lock().shown);
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the endpoint sent a bad picture"),
        }
    }
    keep(&viewer.lock(), save.as_deref());
    reader.cancel(CloseReason::Cancelled).await;
}

fn keep(viewer: &Viewer, file: Option<&str>) {
    if let (Some(canvas), Some(file)) = (viewer.canvas(), file)
        && let Err(error) = write(Path::new(file), &canvas.to_png())
    {
        tracing::debug!(%error, "the picture could not be saved");
    }
}

/// Replaces a file whole.
pub fn write(file: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let (dir, name) = landing_place(file)?;
    let mut landing = Landing::begin(dir, &name, true, Some(bytes.len() as u64))?;
    landing.write(bytes)?;
    landing.commit(&hex(&Sha256::digest(bytes)))?;
    Ok(())
}
