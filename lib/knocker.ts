// The light entry "portknock/knocker": what a client needs, without capture, firewall or configuration.

export { parseDuration } from './duration.ts';
export { isKnockError, KnockError, messageOf, printable, systemCode, type KnockErrorCode } from './errors.ts';
export { Knocker, type Knocked, type KnockerOptions, type ReachOptions } from './knocker/knocker.ts';
export {
  formatProfile,
  parseProfile,
  type OneTimeProfile,
  type Profile,
  type SequenceProfile,
} from './knocker/profile.ts';
export { type KnockState } from './knocker/steps.ts';
export { type KnockPort } from './scheme/sequence.ts';
export { systemClock, type Clock } from './clock.ts';
