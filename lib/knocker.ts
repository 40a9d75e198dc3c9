// The light entry "portknock/knocker": what a client needs, without capture, firewall or configuration.

export { parseDuration } from './duration.ts';
export { isKnockError, KnockError, messageOf, printable, systemCode, type KnockErrorCode } from './errors.ts';
export { Knocker, type KnockOptions, type ReachOptions } from './knocker/knocker.ts';
export { type Knocked, type KnockerOptions } from './knocker/sender.ts';
export {
  agentSigner,
  keySigner,
  type AgentSignerOptions,
  type KeySignerOptions,
  type Signer,
} from './knocker/signer.ts';
export { isSealed, openSealed, sealProfile } from './knocker/sealed.ts';
export {
  formatProfile,
  parseProfile,
  type FwknopProfile,
  type OneTimeProfile,
  type Profile,
  type SequenceProfile,
  type SpaProfile,
} from './knocker/profile.ts';
export { profileOfFwknoprc, type FwknopStanza } from './knocker/fwknoprc.ts';
export { type KnockState } from './knocker/ledger.ts';
export { type KnockPort } from './scheme/sequence.ts';
export { systemClock, type Clock } from './clock.ts';
