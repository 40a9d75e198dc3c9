// The entry "portknock/testing": time under control, packets without a network, a driver without a firewall, and the
// suites that every source, store and driver must pass. No test framework is imported: a suite is a list of cases.

export { type ConformanceCase } from './testing/case.ts';
export { virtualClock, type VirtualClock } from './testing/clock.ts';
export { driverConformance, type DriverSuiteOptions } from './testing/driver-suite.ts';
export { recorder, type RecordingSink } from './testing/recorder.ts';
export { memorySource, type MemorySource, type MemorySourceOptions } from './testing/source.ts';
export { sourceConformance, type SourceHarness, type SourceMaker } from './testing/source-suite.ts';
export { storeConformance, type StoreFixture, type StoreSuiteOptions } from './testing/store-suite.ts';
export {
  mock,
  type DriverMethod,
  type MockCall,
  type MockDriver,
  type MockOptions,
} from './firewall/mock.ts';
