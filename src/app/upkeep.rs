//! What must be done now and then: ask the upstream what it offers, close idle connections, look
//! after the store and after what is learnt.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::gateway::Context;
use crate::gateway::upstream::Upstream;
use crate::http::Readiness;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// Starts the upkeep; it ends when `stop` is cancelled.
pub(super) fn start(context: &Arc<Context>, readiness: &Arc<Readiness>, stop: &CancellationToken) {
    let (context, readiness) = (Arc::clone(context), Arc::clone(readiness));
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            look_after(&context, &readiness).await;
            tokio::time::sleep(EVERY).await;
        }
    }));
}

/// On a worker, so that the connection is kept where the next message is.
async fn probe(context: &Context, upstream: &Arc<Upstream>) {
    let (worker, upstream) = (Arc::clone(context.workers.first()), Arc::clone(upstream));
    let runtime = worker.runtime().clone();
    let probing = runtime.spawn(async move { upstream.probe(worker.home()).await });
    if let Err(error) = probing.await {
        tracing::debug!(%error, "the upstream was not asked what it offers");
    }
}

/// Whether the store answers on every way to it: one worker may be cut off while the others work.
async fn is_well(context: &Context) -> bool {
    let workers = context.workers.all().iter().map(|worker| worker.ledger());
    let ways = workers
        .chain([&context.ledger])
        .map(|ledger| ledger.health());
    let answers = futures_util::future::join_all(ways).await;
    answers.iter().all(Result::is_ok)
}

async fn look_after(context: &Context, readiness: &Readiness) {
    let upstream = Arc::clone(&context.settings.load().upstream);
    upstream.close_idle();
    // Mail itself shows whether the upstream answers; it is only asked while nobody knows.
    probe(context, &upstream).await;
    readiness.set_upstream_failing(upstream.is_failing());
    context.metrics.store_alarm(!is_well(context).await);
    context.learner.look_after().await;
}
