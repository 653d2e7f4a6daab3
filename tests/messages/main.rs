//! What came in arrives, in both directions, through every door: methods, framings, bodies, and the fields that hyper treats
//! in a way of its own.

mod answers;
mod attacks;
mod doors;
mod hops;
mod origin;
mod requests;
mod trailers;
