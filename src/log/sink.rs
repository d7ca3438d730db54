//! A [`Sink`] is where the lines of the log go: a file that may be rotated away, or standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The log holds addresses: the owner writes, the group reads.
const FILE_MODE: u32 = 0o640;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Sink {
    /// None for standard output.
    path: Option<PathBuf>,
    file: File,
}

impl Sink {
    /// Opens a log file for appending; makes it and its directory where they are missing.
    pub(super) fn file(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self {
            path: Some(path),
            file,
        })
    }

    /// Standard output, past the buffer of the standard library.
    pub(super) fn stdout() -> io::Result<Self> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::from_file(File::from(descriptor)))
    }

    /// A stream that cannot be opened anew.
    pub(super) const fn from_file(file: File) -> Self {
        Self { path: None, file }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "standard output".to_owned(), |p| p.display().to_string())
    }

    /// Writes `lines` from `done` on and moves `done` as far as it gets.
    ///
    /// Call it again with the same arguments after an error: it goes on where it stopped, or at the
    /// start of the interrupted line when the file is another one by then.
    pub(super) fn append(&mut self, lines: &[u8], done: &mut usize) -> io::Result<()> {
        if self.reopen_if_rotated()? {
            *done = line_start(lines, *done);
        }
        while *done < lines.len() {
            match self.file.write(&lines[*done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the file again if it was renamed or removed; says whether it was.
    pub(super) fn reopen_if_rotated(&mut self) -> io::Result<bool> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let rotated = leads_elsewhere(path, &self.file);
        if rotated {
            self.file = open(path)?;
        }
        Ok(rotated)
    }

    /// Waits until the lines are on the disk; standard output has none.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.path.is_some() && self.file.metadata()?.is_file() {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Whether the file's name is another file's by now, or nobody's.
fn leads_elsewhere(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => named.dev() != open.dev() || named.ino() != open.ino(),
        (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
        (Ok(_), Err(_)) => true,
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)?;
    end_torn_line(&mut file)?;
    Ok(file)
}

/// A crash or a full disk may have cut the last line: the next must not become its second half.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.read_exact_at(&mut last, metadata.len() - 1)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn line_start(lines: &[u8], position: usize) -> usize {
    lines[..position]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |newline| newline + 1)
}
