"""Local stand-ins for the platforms and the page that shows them: for `relay demo` and the tests."""
