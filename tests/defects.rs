//! Tables of the guide that name tests: docs/defects.md, every defect of docs/protocol/behaviour.md §12, and
//! docs/lessons.md. The tests exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the rows of tables whose first cell is a number, of defects with the letter of a client.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let number = cells[0].strip_prefix(['G', 'R', 'P', 'T']).unwrap_or(cells[0]);
        number.parse::<u32>().is_ok().then_some(cells)
    });
    rows.collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a file has the test: of Rust, of C by `subject.case`, of a list for CTest, of a script.
fn has_test(sources: &mut BTreeMap<PathBuf, String>, path: &str, name: &str) -> bool {
    let (path, heads) = match name.split_once('.') {
        _ if path.ends_with(".txt") => (path.to_owned(), vec![format!("add_test(NAME {name} ")]),
        _ if path.ends_with(".sh") => (path.to_owned(), vec![format!("\nrun_case {name} ")]),
        Some((subject, case)) => (format!("{path}/test_{subject}.c"), vec![format!("\nTEST({case}) {{\n")]),
        None => {
            let head = |indent| format!("{indent}#[test]\n{indent}fn {name}()");
            (path.to_owned(), vec![head(""), head("    ")])
        }
    };
    let source = sources.entry(PathBuf::from(&path)).or_insert_with(|| read(&path));
    heads.iter().any(|head| source.contains(head))
}

/// Checks a cell of tests: a file and the name of a test in it, or another name in the same file.
fn check_tests(sources: &mut BTreeMap<PathBuf, String>, row: &[&str], tests: &str) {
    let mut path = "";
    for test in tests.split(", ") {
        let (file, name) = test.split_once('`').unwrap_or_else(|| panic!("{row:?}: {test}"));
        let name = name.strip_suffix('`').unwrap_or_else(|| panic!("{row:?}: {test}"));
        path = if file.is_empty() { path } else { file.trim() };
        assert!(has_test(sources, path, name), "{}: {path} has no test {name}", row[0]);
    }
}

#[test]
fn every_defect_has_a_test() {
    let behaviour = read("docs/protocol/behaviour.md");
    let (_, behaviour) = behaviour.split_once("\n## 12. ").unwrap();
    let (behaviour, _) = behaviour.split_once("\n## 13. ").unwrap();
    let page = read("docs/defects.md");
    let answered = rows(&page);
    let (defects, checklist) = behaviour.split_once("\n### 12.5 ").unwrap();
    let defects = rows(defects).into_iter().map(|row| row[0]);
    let checklist = checklist.lines().filter_map(|line| line.split_once(". "));
    let checklist = checklist.map(|(number, _)| number).filter(|number| number.parse::<u32>().is_ok());
    let listed: Vec<_> = defects.chain(checklist).collect();
    assert_eq!(listed.len(), 102 + 20);
    assert_eq!(answered.iter().map(|row| row[0]).collect::<Vec<_>>(), listed);

    let mut sources = BTreeMap::new();
    for row in &answered {
        let [_, defect, here, tests] = row[..] else { panic!("{row:?}: not four cells") };
        assert!(!defect.is_empty(), "{row:?}");
        for path in quoted(here) {
            assert!(root().join(path).exists(), "{}: there is no {path}", row[0]);
        }
        check_tests(&mut sources, row, tests);
    }
}

#[test]
fn every_lesson_has_a_test_or_a_page() {
    let page = read("docs/lessons.md");
    let lessons = rows(&page);
    let numbers: Vec<_> = lessons.iter().map(|row| row[0].parse::<usize>().unwrap()).collect();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    let mut sources = BTreeMap::new();
    for row in &lessons {
        let [_, lesson, here, shown] = row[..] else { panic!("{row:?}: not four cells") };
        assert!(!lesson.is_empty() && !here.is_empty(), "{row:?}");
        // Pages and whole scripts stand alone; tests/docs/links.sh looks at the links of pages.
        let alone =
            |item: &&str| item.starts_with('[') || (item.ends_with(".sh") && root().join(item).exists());
        let (pages, tests): (Vec<_>, Vec<_>) = shown.split(", ").partition(alone);
        assert!(!pages.is_empty() || !tests.is_empty(), "{row:?}");
        if !tests.is_empty() {
            check_tests(&mut sources, row, &tests.join(", "));
        }
    }
}

/// The sources of the library.
fn library() -> Vec<(PathBuf, String)> {
    let mut directories = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(sources.len() > 100, "{} files", sources.len());
    sources
}

#[test]
fn the_library_prints_nothing() {
    // The log goes to the standard error if `ISCP_LOG` says so.
    for (path, text) in library() {
        for word in ["print!(", "println!(", "dbg!(", "stdout()"] {
            let found = text.lines().find(|line| line.contains(word) && !line.trim().starts_with("//"));
            assert_eq!(found, None, "{}", path.display());
        }
    }
}

#[test]
fn nothing_but_log_and_proxy_comes_from_the_environment() {
    let reads = |text: &str| text.contains("env::var") || text.contains("from_env(");
    let mut readers: Vec<_> = library()
        .into_iter()
        .filter(|(_, text)| reads(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    readers.sort_unstable();
    // The first has nothing but tests.
    assert_eq!(readers, ["src/ffi/documents.rs", "src/ffi/log.rs", "src/transport/proxy.rs"]);
}
