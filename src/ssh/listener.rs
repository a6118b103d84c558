//! The port on 127.0.0.1 that belongs to a session, whatever becomes of ssh processes.
//!
//! It stays open while the laptop sleeps and the network changes; each new connection dials the
//! hops again when they are gone. A trouble is told once, and once that it is over.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::error::Error;
use super::route::Tunnel;

/// What a person should know of.
#[derive(Debug)]
pub enum Event {
    /// A connection could not be carried; later ones are silent until [`Event::Back`].
    Lost(Error),
    /// One was carried again.
    Back,
}

/// An open port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    port: u16,
}

impl Listener {
    /// Opens `port`, 0 for one that the system picks.
    ///
    /// # Errors
    /// [`Error::Listen`] when it is taken.
    pub async fn bind(port: u16) -> Result<Self, Error> {
        let listen = |source| Error::Listen { port, source };
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(listen)?;
        let port = socket.local_addr().map_err(listen)?.port();
        Ok(Self { socket, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Carries what comes, until dropped; that ends the connections, too.
    pub async fn serve<F>(&self, tunnel: &Arc<Tunnel>, tell: F)
    where
        F: Fn(Event) + Send + Sync + 'static,
    {
        let tell = Arc::new(tell);
        let down = Arc::new(AtomicBool::new(false));
        let mut carried = JoinSet::new();
        // Over all turns: what it has begun to see must not be forgotten.
        let change = tunnel.change();
        tokio::pin!(change);
        loop {
            tokio::select! {
                event = &mut change => {
                    change.set(tunnel.change());
                    let is_down = matches!(event, Event::Lost(_));
                    if down.swap(is_down, Ordering::Relaxed) != is_down {
                        tell(event);
                    }
                }
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => {
                        let (tunnel, tell) = (Arc::clone(tunnel), Arc::clone(&tell));
                        let down = Arc::clone(&down);
                        carried.spawn(async move {
                            match tunnel.carry(stream).await {
                                // One that broke with what carried it is no sign of its being back.
                                Ok(()) if !tunnel.is_up() => {}
                                Ok(()) if down.swap(false, Ordering::Relaxed) => tell(Event::Back),
                                Err(error) if !down.swap(true, Ordering::Relaxed) => {
                                    tell(Event::Lost(error));
                                }
                                Ok(()) => {}
                                Err(error) => tracing::debug!(%error, "still not carried"),
                            }
                        });
                    }
                    // Out of descriptors: let some connections end first.
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = carried.join_next() => {}
            }
        }
    }
}
