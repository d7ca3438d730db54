//! The [`Stage`] is what the demo runs on: the gateway and the smarthost, joined by sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::campaign::Recipient;
use super::place::{CAMPAIGN, Place, receipts_address};
use super::smarthost::{self, Smarthost};
use super::tool::Tool;
use crate::app::App;
use crate::config::{Config, Loaded};
use crate::gateway::listener::Kind;
use crate::store::ledger::Ledger;
use crate::suppression::{Event, EventId, Stream, Tenant};
use crate::timestamp::Timestamp;

/// A gateway and a smarthost that run.
pub(crate) struct Stage {
    app: App,
    smarthost: smarthost::Running,
    addresses: Addresses,
    tenant: Tenant,
    // Last, so that the directory goes after those who use it.
    place: Place,
}

/// Where one can connect to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Campaign tools send here.
    pub(crate) campaign: SocketAddr,
    /// A shop sends its receipts here.
    pub(crate) receipts: SocketAddr,
    /// Bounces come back here.
    pub(crate) returns: SocketAddr,
    /// The smarthost.
    pub(crate) smarthost: SocketAddr,
    /// The metrics.
    pub(crate) admin: SocketAddr,
}

impl Stage {
    /// Starts both on free ports, with everything they write in a fresh private directory.
    ///
    /// # Errors
    /// Says what could not be made, bound or started.
    pub(crate) async fn set_up(recipients: &[Recipient]) -> anyhow::Result<Self> {
        let place = Place::make()?;
        let smarthost = Smarthost::bind()
            .await
            .context("the demo's smarthost cannot listen on 127.0.0.1")?;
        let smarthost_address = smarthost.address()?;
        let file = place.write_config(smarthost_address, receipts_address())?;
        // The environment is left out: it may name a store that is no toy.
        let loaded = Config::load(Some(&file), std::iter::empty())?;
        let tenant = tenant(&loaded);
        let app = App::start(loaded).await?;
        let addresses = addresses(&app, smarthost_address)?;
        let mailboxes = recipients
            .iter()
            .map(|one| (one.address.clone(), one.role.mailbox()))
            .collect();
        let smarthost = smarthost.open(mailboxes, addresses.returns);
        Ok(Self {
            app,
            smarthost,
            addresses,
            tenant,
            place,
        })
    }

    /// Where one can connect to.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The directory with everything in it.
    pub(crate) fn directory(&self) -> &Path {
        self.place.path()
    }

    /// The configuration that the gateway runs with.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.place.config_file()
    }

    /// How many messages the smarthost has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.smarthost.taken()
    }

    /// A campaign tool, or a shop, that sends through this listener.
    pub(crate) fn tool(&self, listener: SocketAddr) -> Tool {
        Tool::new(listener, &self.app.context().log)
    }

    /// Records what an operator decided or was told before the campaign; how many that are.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) async fn record(&self, recipients: &[Recipient]) -> anyhow::Result<usize> {
        let ledger = &self.app.context().ledger;
        let mut recorded = 0;
        for recipient in recipients {
            let Some(change) = recipient.role.on_record() else {
                continue;
            };
            let address = recipient.address.as_str();
            let event = Event {
                id: EventId::of(&[b"demo", address.as_bytes()]),
                at: Timestamp::now(),
                actor: "operator".to_owned(),
                via: "demo".to_owned(),
                message_at: None,
                address: Some(address.to_owned()),
                change,
            };
            let key = ledger.key(&self.tenant, &recipient.address);
            ledger.record(&self.tenant, &key, event).await?;
            recorded += 1;
        }
        Ok(recorded)
    }

    /// What the gateway has learnt of whom, and by which rules it judges the campaign.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let context = self.app.context();
        let settings = context.settings.load();
        let stream = settings
            .streams
            .get("campaign")
            .context("the campaign stream always exists")?;
        Ok(Memory {
            ledger: Arc::clone(&context.ledger),
            tenant: self.tenant.clone(),
            stream: Arc::clone(stream),
        })
    }

    /// Ends both in good order and removes the directory.
    pub(crate) async fn take_down(self) {
        // Once the returns listener is closed they would have nowhere to go.
        self.smarthost.settle().await;
        self.app.drain().await;
        self.smarthost.close().await;
    }
}

/// The gateway's memory of recipients.
pub(crate) struct Memory {
    pub(super) ledger: Arc<Ledger>,
    pub(super) tenant: Tenant,
    pub(super) stream: Arc<Stream>,
}

/// Whose list all listeners ask: the demo names none.
fn tenant(loaded: &Loaded) -> Tenant {
    loaded
        .config
        .smtp
        .first()
        .map(|listener| listener.tenant.clone())
        .unwrap_or_default()
}

fn addresses(app: &App, smarthost: SocketAddr) -> anyhow::Result<Addresses> {
    let listening = app.listening();
    let smtp = |campaign: bool| {
        listening
            .iter()
            .find(|one| {
                one.kind == Kind::Smtp && (one.configured.to_string() == CAMPAIGN) == campaign
            })
            .map(|one| one.address)
    };
    let returns = listening.iter().find(|one| one.kind == Kind::Returns);
    let all = || {
        Some(Addresses {
            campaign: smtp(true)?,
            receipts: smtp(false)?,
            returns: returns?.address,
            smarthost,
            admin: app.admin_address()?,
        })
    };
    all().context("the gateway does not listen where the demo's configuration says")
}
