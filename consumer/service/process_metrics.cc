#include "consumer/service/process_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace tidemark {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double files_open() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return std::max(0.0, count - 1);  // the one that counts them
}

double files_max() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

double started_at() {
  // Field 22 of stat, in ticks since boot, behind a name that may hold spaces; and the boot's time.
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  double boot = 0;
  std::ifstream all("/proc/stat");
  for (std::string word; all >> word;) {
    if (word == "btime") all >> boot;
  }
  const double ticks = field.empty() ? 0 : std::stod(field);
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// What a container may have, or else the machine. Groups within groups: the tightest counts.
double memory_budget() {
  double budget =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  std::ifstream own("/proc/self/cgroup");
  std::string line;
  std::getline(own, line);
  std::filesystem::path group = line.starts_with("0::") ? line.substr(3) : "/";
  for (;; group = group.parent_path()) {
    std::ifstream limit("/sys/fs/cgroup" + (group == "/" ? "" : group.string()) + "/memory.max");
    if (double bytes = 0; limit >> bytes) budget = std::min(budget, bytes);
    if (!group.has_relative_path()) return budget;
  }
}

}  // namespace

struct ProcessMetrics::Impl {
  prometheus::Registry& registry;

  prometheus::Gauge& gauge(const char* name, const char* help) const {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Counter& cpu = prometheus::BuildCounter()
                                 .Name("process_cpu_seconds_total")
                                 .Help("Processor time, of user and system.")
                                 .Register(registry)
                                 .Add({});
  prometheus::Gauge& resident = gauge("process_resident_memory_bytes", "Memory in use.");
  prometheus::Gauge& mapped = gauge("process_virtual_memory_bytes", "Memory that is mapped.");
  prometheus::Gauge& open = gauge("process_open_fds", "Open files.");
  prometheus::Gauge& open_max = gauge("process_max_fds", "Files that may be open.");
  prometheus::Gauge& start =
      gauge("process_start_time_seconds", "When the process began, since 1970.");
  prometheus::Gauge& budget =
      gauge("tidemark_memory_budget_bytes", "What the container, or else the machine, may use.");
};

ProcessMetrics::ProcessMetrics(prometheus::Registry& registry) : impl_(new Impl{registry}) {
  impl_->start.Set(started_at());
  impl_->open_max.Set(files_max());
  impl_->budget.Set(memory_budget());
}

ProcessMetrics::~ProcessMetrics() = default;

void ProcessMetrics::update() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  impl_->cpu.Increment(std::max(0.0, cpu - impl_->cpu.Value()));
  const auto page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
  std::ifstream statm("/proc/self/statm");
  double mapped = 0;
  double resident = 0;
  if (statm >> mapped >> resident) {
    impl_->mapped.Set(mapped * page);
    impl_->resident.Set(resident * page);
  }
  impl_->open.Set(files_open());
}

}  // namespace tidemark
