//! Which evaluations run now, and at which place each of them is.
//!
//! The evaluator asks after each step whether it may go on, but one step may be a text that doubles into all memory, or a
//! value that nests deeper than the stack. Nothing inside of it can stop such a step; who watches from outside asks here
//! what to tell the user.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Location;
use starlark::codemap::FileSpanRef;
use starlark::eval::{BeforeStmtFunc, BeforeStmtFuncDyn, Evaluator};

use crate::problem::fail;
use crate::session::session;

/// How long one evaluation may take. What takes longer computes what belongs in an action.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

static ALL: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

thread_local! {
    static OF_THREAD: RefCell<Vec<Arc<Shared>>> = const { RefCell::new(Vec::new()) };
}

struct Shared {
    began: Instant,
    place: Mutex<Location>,
}

/// An evaluation that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// When it began.
    pub began: Instant,
    /// Where it is.
    pub place: Location,
}

/// While it lives, an evaluation runs on this thread.
pub(crate) struct Mark(Arc<Shared>);

/// The evaluations that run now.
pub fn running() -> Vec<Running> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().map(|shared| Running { began: shared.began, place: shared.place() }).collect()
}

/// Where the evaluation of this thread is, if there is one. Never waits, so that it can be asked when nothing else works.
pub fn running_here() -> Option<Location> {
    OF_THREAD.with(|own| own.try_borrow().ok()?.last()?.place.try_lock().ok().map(|place| place.clone()))
}

impl Shared {
    fn place(&self) -> Location {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Mark {
    /// From now on the thread evaluates this file.
    pub fn new(path: &Arc<str>) -> Self {
        let place = Mutex::new(Location { file: Arc::clone(path), line: 1, column: 1, end_column: 1 });
        let shared = Arc::new(Shared { began: Instant::now(), place });
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shared));
        OF_THREAD.with(|own| own.borrow_mut().push(Arc::clone(&shared)));
        Self(shared)
    }

    /// Whether it has taken too long.
    pub fn is_late(&self) -> bool {
        self.0.began.elapsed() > LONGEST
    }

    /// Asks the session before each statement, and after each call inside of one.
    pub fn follow(&self, eval: &mut Evaluator<'_, '_, '_>) {
        let follower = Follower(Arc::clone(&self.0));
        eval.before_stmt_for_dap(BeforeStmtFunc::from_dyn(Box::new(follower)));
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        ALL.lock().unwrap_or_else(PoisonError::into_inner).retain(|shared| !Arc::ptr_eq(shared, &self.0));
        OF_THREAD.with(|own| own.borrow_mut().retain(|shared| !Arc::ptr_eq(shared, &self.0)));
    }
}

struct Follower(Arc<Shared>);

impl<'e> BeforeStmtFuncDyn<'e> for Follower {
    fn call<'v>(&mut self, span: FileSpanRef, _: bool, eval: &mut Evaluator<'v, '_, 'e>) -> starlark::Result<()> {
        let begin = span.resolve_span().begin;
        let mut place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        if *place.file != *span.filename() {
            place.file = Arc::from(span.filename());
        }
        place.line = begin.line as u32 + 1;
        place.column = begin.column as u32 + 1;
        drop(place);
        match session(eval)?.refuses(eval.heap().allocated_bytes()) {
            Some(reason) => fail(reason),
            None => Ok(()),
        }
    }
}
