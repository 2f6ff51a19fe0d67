//! The store from outside: real files, real pipes, real processes.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flipped;
#[cfg(test)]
mod following;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod meddling;
#[cfg(test)]
mod merging;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod torn;
