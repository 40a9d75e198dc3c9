// Mocha's spec output, then the skipped tests by name; the totals and the failures also go to the file
// that PORTKNOCK_TEST_COUNTS names, so that .ci/run can repeat them without reading text meant for people.
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;

module.exports = class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    // From run.ts: no further test, but the hooks that take away what the last one made.
    process.once('SIGINT', () => runner.abort());
    const skipped = [];
    const failed = [];
    runner.on(EVENT_TEST_FAIL, (test, error) => failed.push(`${test.fullTitle()}\n${error.stack ?? error}`));
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test.fullTitle()));
    runner.once(EVENT_RUN_END, () => {
      for (const title of skipped) console.log(`skipped: ${title}`);
      const file = process.env.PORTKNOCK_TEST_COUNTS;
      const { passes, failures, pending } = runner.stats;
      const counts = { passed: passes, failed: failures, skipped: pending, failures: failed };
      if (file) writeFileSync(file, JSON.stringify(counts));
    });
  }
};
