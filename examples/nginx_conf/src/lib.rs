//! The part of the program that others test too: how a configuration is divided into words.

pub mod words;
