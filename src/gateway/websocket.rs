//! Connections that have changed their protocol: bytes pass as they come, in both directions.
//!
//! A websocket whose session or gateway ends is told so, in a frame of its own between two frames of the application (RFC 6455, 5.5.1). Payloads are
//! counted for that, and not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::sleep;

use crate::gateway::activity::{Cause, Cut, Exchange};

/// How long a client may take to close a connection that is cut.
const FAREWELL: Duration = Duration::from_secs(5);
/// A frame that closes a websocket: code 4408, and the reason.
const CLOSE: &[u8] = b"\x88\x17\x11\x38the session has ended";
/// The same with code 1001, going away.
const AWAY: &[u8] = b"\x88\x17\x03\xe9the gateway is ending";

/// Carries bytes until both sides have ended, or the session has.
pub(super) async fn carry<C, P>(mut client: C, pod: P, is_websocket: bool, exchange: &mut Exchange)
where
    C: AsyncRead + AsyncWrite + Unpin,
    P: AsyncRead + AsyncWrite + Unpin,
{
    let mut pod = Application {
        stream: pod,
        frames: is_websocket.then(Frames::default),
        cut: exchange.cut().clone(),
        last: None,
    };
    tokio::select! {
        // Either side may go at any moment; the other one learns of it.
        _ = copy_bidirectional(&mut client, &mut pod) => {}
        () = async {
            std::future::poll_fn(|context| exchange.cut().poll(context)).await;
            sleep(FAREWELL).await;
        } => {}
    }
}

/// The connection to an application, which ends when its session does.
struct Application<S> {
    stream: S,
    /// None: the protocol is not known.
    frames: Option<Frames>,
    cut: Cut,
    /// What is still to be said; nothing more is read.
    last: Option<&'static [u8]>,
}

impl<S> Application<S> {
    /// Ends what is read, where no frame is cut in two by it.
    fn may_end(&mut self) -> bool {
        let is_between = self.frames.as_ref().is_none_or(Frames::is_between);
        if is_between {
            let word = match self.cut.cause() {
                Some(Cause::Gateway) => AWAY,
                _ => CLOSE,
            };
            self.last = Some(self.frames.as_ref().filter(|frames| !frames.has_closed).map_or(&[], |_| word));
        }
        is_between
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Application<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(last) = &mut this.last {
                let (now, later) = last.split_at(last.len().min(buffer.remaining()));
                buffer.put_slice(now);
                *last = later;
                return Poll::Ready(Ok(()));
            }
            let is_cut = this.cut.cause().is_some();
            if is_cut && this.may_end() {
                continue;
            }
            let before = buffer.filled().len();
            match Pin::new(&mut this.stream).poll_read(context, buffer) {
                Poll::Pending if !is_cut && this.cut.poll(context).is_ready() => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                    if let Some(frames) = &mut this.frames {
                        let taken = frames.take(&buffer.filled()[before..], is_cut);
                        buffer.set_filled(before + taken);
                    }
                    return Poll::Ready(Ok(()));
                }
                ended => {
                    if !this.cut.has_ended() || !this.may_end() {
                        return ended;
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Application<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Where frames begin and end in the bytes of a websocket (RFC 6455, 5.2).
#[derive(Debug, Default)]
struct Frames {
    /// The head of a frame as far as it has come, and how far that is.
    head: [u8; 14],
    come: usize,
    /// Bytes of its payload that are still to come.
    left: u64,
    /// Whether a frame has closed the websocket.
    has_closed: bool,
}

impl Frames {
    const fn is_between(&self) -> bool {
        self.come == 0 && self.left == 0
    }

    /// Takes bytes in, up to the end of a frame if `stops`. Returns how many.
    fn take(&mut self, bytes: &[u8], stops: bool) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !(stops && taken > 0 && self.is_between()) {
            if self.left > 0 {
                let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - taken);
                taken += part;
                self.left -= part as u64;
                continue;
            }
            self.head[self.come] = bytes[taken];
            (self.come, taken) = (self.come + 1, taken + 1);
            if let Some(length) = payload(&self.head[..self.come]) {
                self.has_closed |= self.head[0] & 0x0f == 8;
                (self.come, self.left) = (0, length);
            }
        }
        taken
    }
}

/// The length of the payload behind a head, as soon as that is whole.
fn payload(head: &[u8]) -> Option<u64> {
    let length = *head.get(1)?;
    let mask = if length & 0x80 == 0 { 0 } else { 4 };
    let further = match length & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if head.len() < 2 + further + mask {
        return None;
    }
    match further {
        0 => Some(u64::from(length & 0x7f)),
        _ => Some(head[2..2 + further].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::activity::Activity;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::message(vec![b'x'; length], OpCode::Data(Data::Binary), true)
            .format(&mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let lengths = [0, 1, 125, 126, 65_535, 65_536, 70_000];
        let all: Vec<u8> = lengths.iter().flat_map(|length| frame(*length)).collect();
        for part in [1, 2, 7, 4096, all.len()] {
            let mut frames = Frames::default();
            for bytes in all.chunks(part) {
                assert_eq!(frames.take(bytes, false), bytes.len());
            }
            assert!(frames.is_between() && !frames.has_closed, "{part}");
        }
        let mut frames = Frames::default();
        let mut rest = &all[..];
        for length in lengths {
            let taken = frames.take(rest, true);
            assert_eq!(taken, frame(length).len());
            rest = &rest[taken..];
        }
        assert_eq!(frames.take(CLOSE, false), CLOSE.len());
        assert!(frames.is_between() && frames.has_closed);
    }

    /// The client's end and the pod's end of a connection that is carried.
    fn carried(activity: &Arc<Activity>, is_websocket: bool) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<()>) {
        let ((client, near), (far, pod)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let mut exchange = Exchange::begin(activity);
        let carrying = tokio::spawn(async move { carry(near, far, is_websocket, &mut exchange).await });
        (client, pod, carrying)
    }

    async fn rest(mut stream: DuplexStream) -> Vec<u8> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_is_told_the_code_behind_the_frame_that_goes_on() {
        let activity = Activity::new();
        let (mut client, mut pod, carrying) = carried(&activity, true);
        let sent = frame(10);
        pod.write_all(&sent[..5]).await.unwrap();
        client.read_exact(&mut [0; 5]).await.unwrap();
        activity.cut(Cause::Lifetime);
        pod.write_all(&[&sent[5..], &frame(3)].concat()).await.unwrap();
        assert_eq!(rest(client).await, [&sent[5..], CLOSE].concat());
        carrying.await.unwrap();
        assert!(pod.write_all(b"x").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_cut_off() {
        for (is_websocket, cause, word) in [
            (true, Cause::Lifetime, CLOSE),
            (true, Cause::Gateway, AWAY),
            (false, Cause::Lifetime, &[]),
        ] {
            let activity = Activity::new();
            let (client, mut pod, carrying) = carried(&activity, is_websocket);
            activity.cut(cause);
            carrying.await.unwrap();
            assert_eq!(pod.read(&mut [0; 9]).await.unwrap(), 0);
            assert_eq!(rest(client).await, word);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_goes_with_its_session_leaves_a_word() {
        for (has_ended, says_goodbye) in [(true, false), (true, true), (false, false)] {
            let activity = Activity::new();
            let (client, mut pod, _carrying) = carried(&activity, true);
            if has_ended {
                activity.end();
            }
            let own: &[u8] = if says_goodbye { b"\x88\x02\x03\xe9" } else { b"" };
            pod.write_all(own).await.unwrap();
            drop(pod);
            let expected = if has_ended && !says_goodbye { CLOSE } else { own };
            assert_eq!(rest(client).await, expected, "{has_ended} {says_goodbye}");
        }
    }
}
