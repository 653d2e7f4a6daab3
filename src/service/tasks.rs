//! What goes on beside a request runs on the executor of the caller's choice.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::rt::Executor;

/// What a service must run beside the requests that it answers: a tunnel, or the connection to an upstream.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks: by `tokio::spawn`, unless the caller has something else for it.
#[derive(Clone, Default)]
pub(super) struct Tasks(Option<Arc<dyn Executor<Task> + Send + Sync>>);

impl Tasks {
    pub(super) fn on(executor: impl Executor<Task> + Send + Sync + 'static) -> Self {
        Tasks(Some(Arc::new(executor)))
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        match &self.0 {
            Some(executor) => executor.execute(Box::pin(async {
                future.await;
            })),
            None => {
                tokio::spawn(future);
            }
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tasks").field(&self.0.is_some()).finish()
    }
}
