#include "tests/support/scratch_postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "consumer/core/check.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";
constexpr const char* kUser = "postgres";
// Another process can take the port between our look and the server's start.
constexpr int kStartsMax = 5;
// A start takes 0.1 s; a machine that is busy with builds takes longer.
constexpr std::chrono::seconds kStartWaitMax{60};
constexpr std::chrono::milliseconds kStartPoll{10};

// Runs the server ("$@") and ends with it. Its stdin is a pipe from the test: at its end the server
// goes down, and the folder ($0) with it. QUIT: at once; nothing in it is worth a checkpoint.
constexpr const char* kWatchdogScript = R"(
exec 3<&0
"$@" >>"$0/log" 2>&1 3<&- &
server=$!
(cat <&3 >/dev/null
 kill -QUIT $server 2>/dev/null
 while kill -0 $server 2>/dev/null; do sleep 0.01; done
 rm -rf "$0") &
wait $server
)";

using Words = std::vector<std::string>;

// The words that run a command as the server's user, and end it with its parent.
Words as_server_user(Words command) {
  Words words = {"/usr/bin/setpriv", "--pdeathsig=QUIT"};
  if (geteuid() == 0) {
    const std::string user = kUser;
    for (const std::string& word :
         {"--reuid=" + user, "--regid=" + user, std::string("--init-groups")}) {
      words.push_back(word);
    }
  }
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

// Starts a process in a process group of its own, so that Ctrl-C reaches the test only. Its stdin
// is `in`; its output goes to the end of `log`.
pid_t spawn(Words command, int in, const fs::path& log) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &files, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error == 0 ? pid : -1;
}

bool run(Words command, const fs::path& log) {
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t pid = spawn(std::move(command), null, log);
  close(null);
  int status = -1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

bool init_database(const fs::path& data, const fs::path& log) {
  return run(as_server_user({std::string(kBin) + "initdb", "--pgdata=" + data.string(),
                             "--username=postgres", "--auth=trust", "--encoding=UTF8",
                             "--locale=C.UTF-8", "--no-sync", "--no-instructions"}),
             log);
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TIDEMARK_CHECK(fd >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  TIDEMARK_CHECK(bind(fd, generic, length) == 0);
  TIDEMARK_CHECK(getsockname(fd, generic, &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

// The server writes "ready" into the last line of its pid file once it takes connections.
bool is_ready(const fs::path& data) {
  std::ifstream file(data / "postmaster.pid");
  std::string line;
  std::string last;
  while (std::getline(file, line)) last = line;
  return last.rfind("ready", 0) == 0;
}

fs::path make_folder() {
  std::string name = (fs::temp_directory_path() / "tidemark-pg-XXXXXX").string();
  TIDEMARK_CHECK(mkdtemp(name.data()) != nullptr);
  if (geteuid() == 0) {
    const passwd* user = getpwnam(kUser);
    TIDEMARK_CHECK(user != nullptr);
    TIDEMARK_CHECK(chown(name.c_str(), user->pw_uid, user->pw_gid) == 0);
  }
  return name;
}

void show_log(const fs::path& log) {
  std::ifstream file(log);
  if (file) std::cerr << file.rdbuf();
}

}  // namespace

ScratchPostgres& ScratchPostgres::instance() {
  static ScratchPostgres server;
  return server;
}

ScratchPostgres& ScratchPostgres::another() {
  static ScratchPostgres server("wal_writer_delay=10s");
  return server;
}

ScratchPostgres::ScratchPostgres(std::string setting)
    : setting_(std::move(setting)), owner_(getpid()) {
  for (int i = 0; i < kStartsMax; ++i) {
    if (start()) return;
    show_log(folder_ / "log");
    stop();
  }
  TIDEMARK_CHECK(!"the scratch PostgreSQL starts");
}

ScratchPostgres::~ScratchPostgres() {
  if (getpid() == owner_) stop();
}

bool ScratchPostgres::start() {
  folder_ = make_folder();
  port_ = free_port();
  const fs::path data = folder_ / "data";
  if (!init_database(data, folder_ / "log")) return false;
  Words server = as_server_user({std::string(kBin) + "postgres",
                                 "-D",
                                 data.string(),
                                 "-p",
                                 std::to_string(port_),
                                 "-c",
                                 "listen_addresses=127.0.0.1",
                                 "-c",
                                 "unix_socket_directories=" + folder_.string(),
                                 "-c",
                                 "fsync=off",
                                 "-c",
                                 "full_page_writes=off",
                                 "-c",
                                 "wal_level=logical",
                                 "-c",
                                 "max_prepared_transactions=10",
                                 "-c",
                                 "shared_buffers=64MB",
                                 "-c",
                                 "timezone=UTC"});
  if (!setting_.empty()) server.insert(server.end(), {"-c", setting_});
  Words watchdog = {"/bin/sh", "-c", kWatchdogScript, folder_.string()};
  watchdog.insert(watchdog.end(), server.begin(), server.end());

  int ends[2] = {-1, -1};
  TIDEMARK_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  lifeline_ = ends[1];
  watchdog_ = spawn(std::move(watchdog), ends[0], folder_ / "log");
  close(ends[0]);

  const auto deadline = std::chrono::steady_clock::now() + kStartWaitMax;
  while (watchdog_ > 0 && std::chrono::steady_clock::now() < deadline) {
    if (is_ready(data)) return true;
    int status = 0;
    if (waitpid(watchdog_, &status, WNOHANG) == watchdog_) watchdog_ = -1;  // the server ended
    std::this_thread::sleep_for(kStartPoll);
  }
  return false;
}

void ScratchPostgres::stop() {
  if (lifeline_ >= 0) close(lifeline_);
  lifeline_ = -1;
  if (watchdog_ > 0) waitpid(watchdog_, nullptr, 0);
  watchdog_ = -1;
  std::error_code ignored;  // the watchdog removes it, too
  fs::remove_all(folder_, ignored);
}

std::string ScratchPostgres::dsn(std::string_view database) const {
  return fmt::format("host={} port={} user={} dbname={} connect_timeout=10", host(), port_, kUser,
                     database);
}

std::string ScratchPostgres::make_database(std::string_view prefix) {
  const std::string name = fmt::format("{}_{}", prefix, ++databases_);
  const bool made =
      run({std::string(kBin) + "createdb", "--host=" + host(), "--port=" + std::to_string(port_),
           "--username=postgres", "--template=template0", name},
          folder_ / "log");
  if (!made) show_log(folder_ / "log");
  TIDEMARK_CHECK(made);
  return dsn(name);
}

}  // namespace tidemark
