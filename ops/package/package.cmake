# What is installed, and the Debian package: `cd build/release && cpack -G DEB`.
install(TARGETS tidemark RUNTIME DESTINATION bin)
install(PROGRAMS ops/livez DESTINATION lib/tidemark)
install(FILES ops/systemd/tidemark.service DESTINATION lib/systemd/system)
install(FILES ops/completions/tidemark.bash DESTINATION share/bash-completion/completions RENAME tidemark)
install(FILES ops/completions/_tidemark DESTINATION share/zsh/vendor-completions)
# Not below share/doc, which slim images leave out.
install(FILES ops/tidemark.example.toml DESTINATION share/tidemark)
install(DIRECTORY schemas sql DESTINATION share/tidemark/example PATTERN migrations EXCLUDE)  # those are in the program
install(DIRECTORY ops/prometheus ops/grafana DESTINATION share/tidemark
        FILES_MATCHING PATTERN "alerts.yml" PATTERN "tidemark.json" PATTERN "provisioning" EXCLUDE)
install(DIRECTORY ops/docs/ DESTINATION share/doc/tidemark FILES_MATCHING PATTERN "*.md")
install(FILES LICENSE DESTINATION share/doc/tidemark RENAME copyright)

# Manuals come compressed, without the time of the build, so that the same sources give the same package.
find_program(GZIP gzip REQUIRED)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/tidemark.1.gz
  COMMAND ${GZIP} -9nc ${CMAKE_SOURCE_DIR}/ops/man/tidemark.1 > ${CMAKE_BINARY_DIR}/tidemark.1.gz
  DEPENDS ${CMAKE_SOURCE_DIR}/ops/man/tidemark.1)
add_custom_target(manual ALL DEPENDS ${CMAKE_BINARY_DIR}/tidemark.1.gz)
install(FILES ${CMAKE_BINARY_DIR}/tidemark.1.gz DESTINATION share/man/man1)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME tidemark)
set(CPACK_PACKAGE_CONTACT "The Tidemark authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "keeps counters in Postgres exactly right from change events on Kafka")
set(CPACK_PACKAGE_DESCRIPTION "Tidemark is a Kafka consumer group that folds Debezium's change events into counters
in PostgreSQL, and stores offsets and counts in one transaction. Whatever is
duplicated, replayed, restarted or recounted, each counter equals what the source
tables say for a known set of transactions.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "postgresql-client, prometheus")
include(CPack)
