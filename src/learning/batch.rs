//! A *batch* is worked off some items at a time; what is under way when one fails is finished.

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::store::StoreError;

/// Items that are under way at once.
const AT_ONCE: usize = 32;

/// Does the same with each item; answers what came of those that were done, in any order, and the
/// first failure. After that nothing more is begun.
pub(super) async fn each<I, T, F>(
    items: Vec<I>,
    work: impl Fn(I) -> F,
) -> (Vec<T>, Option<StoreError>)
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut items = items.into_iter();
    let mut under_way = FuturesUnordered::new();
    let (mut done, mut failure) = (Vec::new(), None);
    loop {
        while failure.is_none()
            && under_way.len() < AT_ONCE
            && let Some(item) = items.next()
        {
            under_way.push(work(item));
        }
        match under_way.next().await {
            Some(Ok(outcome)) => done.push(outcome),
            Some(Err(error)) => {
                failure.get_or_insert(error);
            }
            None => return (done, failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_finished_and_nothing_more_begun() {
        let work = |number: usize| async move {
            tokio::task::yield_now().await;
            if number == 3 {
                return Err(StoreError::Unavailable("gone".to_owned()));
            }
            Ok(number)
        };
        let (done, failure) = each((0..3).collect(), work).await;
        assert_eq!((done.len(), failure.is_none()), (3, true));
        let (done, failure) = each((0..1000).collect(), work).await;
        assert!(failure.is_some());
        let first = done.iter().filter(|number| **number < AT_ONCE).count();
        assert_eq!(
            first,
            AT_ONCE - 1,
            "those that were begun with the one that failed"
        );
        assert!(done.len() < 2 * AT_ONCE, "{}", done.len());
    }
}
