"""What authors of plugins test with: contract suites, fakes and builders."""
