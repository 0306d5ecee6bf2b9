// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs one exported NAME_run of a generated library on buffers that Python owns (no copies, the
// interpreter lock released), times it, and says what this CPU can do.
#include <dlfcn.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu_features.h"

namespace py = pybind11;

namespace {

using RunFn = int (*)(const void* inputs, void* outputs, const void* call);

// A pointer to `NAME_run` plus the three argument blocks, all laid out by the caller (see toolchain/loader.py).
class Runner {
 public:
  Runner(const std::string& path, const std::string& symbol)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    run_ = reinterpret_cast<RunFn>(dlsym(handle_, symbol.c_str()));
    if (run_ == nullptr) throw std::runtime_error("no symbol " + symbol + " in " + path);
  }

  // The library's own status: 0 when it ran.
  int run(std::uintptr_t in, std::uintptr_t out, std::uintptr_t call) const {
    py::gil_scoped_release unlocked;
    return invoke(in, out, call);
  }

  // Wall-clock nanoseconds of each of `runs` calls, after `warmup` calls that are not counted.
  std::vector<std::int64_t> time(std::uintptr_t in, std::uintptr_t out, std::uintptr_t call,
                                 int warmup, int runs) const {
    py::gil_scoped_release unlocked;
    for (int i = 0; i < warmup; ++i) check(invoke(in, out, call));
    std::vector<std::int64_t> ns;
    ns.reserve(static_cast<std::size_t>(runs));
    for (int i = 0; i < runs; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const int status = invoke(in, out, call);
      const auto end = std::chrono::steady_clock::now();
      check(status);
      ns.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count());
    }
    return ns;
  }

 private:
  int invoke(std::uintptr_t in, std::uintptr_t out, std::uintptr_t call) const {
    return run_(reinterpret_cast<const void*>(in), reinterpret_cast<void*>(out),
                reinterpret_cast<const void*>(call));
  }

  static void check(int status) {
    if (status != 0) throw std::runtime_error("run returned status " + std::to_string(status));
  }

  void* handle_;  // kept open: generated code may still be on another thread's stack
  RunFn run_ = nullptr;
};

struct Feature {
  std::uint32_t bit;
  const char* name;  // as the Linux kernel spells it in /proc/cpuinfo
};

constexpr Feature kFeatures[] = {
    {aot::kCpuSse42, "sse4_2"},
    {aot::kCpuSsse3, "ssse3"},
    {aot::kCpuPopcnt, "popcnt"},
    {aot::kCpuCx16, "cx16"},
    {aot::kCpuMovbe, "movbe"},
    {aot::kCpuBmi1, "bmi1"},
    {aot::kCpuBmi2, "bmi2"},
    {aot::kCpuAvx, "avx"},
    {aot::kCpuAvx2, "avx2"},
    {aot::kCpuFma, "fma"},
    {aot::kCpuF16c, "f16c"},
    {aot::kCpuAvxvnni, "avx_vnni"},
    {aot::kCpuAvx512f, "avx512f"},
    {aot::kCpuAvx512bw, "avx512bw"},
    {aot::kCpuAvx512cd, "avx512cd"},
    {aot::kCpuAvx512dq, "avx512dq"},
    {aot::kCpuAvx512vl, "avx512vl"},
    {aot::kCpuAvx512vnni, "avx512_vnni"},
    {aot::kCpuAvx512bf16, "avx512_bf16"},
    {aot::kCpuAsimd, "asimd"},
};

std::vector<std::string> cpu_features() {
  const std::uint32_t has = aot::cpu_features();
  std::vector<std::string> names;
  for (const Feature& f : kFeatures) {
    if ((has & f.bit) != 0) names.emplace_back(f.name);
  }
  return names;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Runs built libraries on NumPy arrays without copies; reads the features of this CPU.";
  m.def("cpu_features", &cpu_features, "What the CPU and its operating system support, by name.");
  py::class_<Runner>(m, "Runner")
      .def(py::init<const std::string&, const std::string&>(), py::arg("path"), py::arg("symbol"))
      .def("run", &Runner::run, py::arg("inputs"), py::arg("outputs"), py::arg("call"))
      .def("time", &Runner::time, py::arg("inputs"), py::arg("outputs"), py::arg("call"),
           py::arg("warmup"), py::arg("runs"));
}
