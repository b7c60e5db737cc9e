# What is packed, by the small repository beside this file: any change in what counts gives another release, and nothing
# else does.

variables {
  root  = "./tests/repository"
  build = "../build/test"
}

run "the_two_archives" {
  command = plan
  module {
    source = "./source"
  }
  assert {
    condition     = output.files == tolist(["config/paper.toml", "core/__init__.py", "core/one.py", "core/report/page.html", "functions/__init__.py", "functions/two.py", "main.py"])
    error_message = "Code, its pages and settings are packed; tests, docs and whatever else lies about are not."
  }
  assert {
    condition = toset(flatten([for archive in data.archive_file.this : [
      for source in archive.source : source.filename if !contains(output.files, source.filename)
    ]])) == toset(["requirements.txt"])
    error_message = "Beside those, only requirements.txt is in an archive."
  }
  assert {
    condition = [for source in setsubtract(data.archive_file.this["train"].source, data.archive_file.this["serve"].source)
    : source] == [{ filename = "requirements.txt", content = "numpy==2\n# More.\nlightgbm==4\n" }]
    error_message = "train's archive differs by a longer requirements.txt, which does not name itself."
  }
  assert {
    condition     = output.release == "0f7d4f27957361b912a8788b7e5c9bb4989ffbb2211df2d576d457af09be05c7"
    error_message = "The same contents are the same release on every machine and day."
  }
}

run "an_earlier_release" {
  command = plan
  module {
    source = "./source"
  }
  variables {
    release = "1111111111111111111111111111111111111111111111111111111111111111"
  }
  assert {
    condition     = output.release == var.release && length(output.archives) == 0
    error_message = "Going back packs and uploads nothing."
  }
}
