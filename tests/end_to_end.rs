//! The whole system, end to end: real processes, libvirt, namespaces and WireGuard. Needs root.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

#[path = "end_to_end/canary.rs"]
mod canary;
#[path = "end_to_end/cards.rs"]
mod cards;
#[path = "end_to_end/deletion.rs"]
mod deletion;
#[path = "end_to_end/forward.rs"]
mod forward;
#[path = "end_to_end/guide.rs"]
mod guide;
#[path = "end_to_end/hosts.rs"]
mod hosts;
#[path = "end_to_end/kills.rs"]
mod kills;
#[path = "end_to_end/liar.rs"]
mod liar;
#[path = "end_to_end/linux.rs"]
mod linux;
#[path = "end_to_end/metadata.rs"]
mod metadata;
#[path = "end_to_end/openwrt.rs"]
mod openwrt;
#[path = "end_to_end/power.rs"]
mod power;
#[path = "end_to_end/reach.rs"]
mod reach;
#[path = "end_to_end/removal.rs"]
mod removal;
#[path = "end_to_end/revocation.rs"]
mod revocation;
#[path = "end_to_end/segments.rs"]
mod segments;
#[path = "end_to_end/tenants.rs"]
mod tenants;
#[path = "end_to_end/upgrade.rs"]
mod upgrade;

use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World};

#[test]
fn two_projects_live_apart_on_one_host_until_they_are_deleted() {
    World::run(async |world| {
        let operator = start(world).await;
        let nothing = world.left();
        let tenants = tenants::settle(world, &operator).await;
        let devices = reach::a_peer_reaches_exactly_its_networks(world, &operator, &tenants).await;
        reach::a_peer_reaches_nothing_else(world, &tenants, &devices).await;
        forward::the_command_line_reaches_an_instance_as_nobody(world, &tenants, &devices).await;
        segments::only_an_instance_as_itself_passes(world, &tenants).await;
        let operator =
            metadata::an_instance_reads_about_itself_alone(world, operator, &tenants).await;
        removal::a_network_that_is_taken_from_a_peer_is_out_of_reach(
            world, &operator, &tenants, &devices,
        )
        .await;
        removal::nothing_passes_after_a_removal_is_answered(world, &operator, &tenants, &devices)
            .await;
        let operator =
            kills::killing_core_and_components_interrupts_nothing(world, &tenants, &devices).await;
        power::an_instance_stops_starts_reboots_and_says_why_it_ended(world, &tenants, &devices)
            .await;
        power::a_crashed_instance_says_why(world, &tenants).await;
        power::a_crashed_instance_is_started_again_if_it_should_be(world, &tenants, &devices).await;
        linux::a_kernel_with_a_ram_disk_takes_its_settings(world, &tenants, &devices).await;
        deletion::what_is_deleted_leaves_nothing(world, &operator, &tenants, &nothing).await;
    });
}

#[test]
fn a_network_spans_hosts_and_nothing_else_does() {
    World::run(async |world| hosts::a_network_spans_hosts(world).await);
}

#[test]
fn a_revoked_component_has_no_session_within_two_seconds() {
    World::run(async |world| {
        revocation::a_revoked_component_has_no_session_within_two_seconds(world).await;
    });
}

#[test]
fn a_component_gets_another_program_and_goes_back_by_itself() {
    World::run(async |world| {
        upgrade::a_component_gets_another_program_and_goes_back_by_itself(world).await;
    });
}

#[test]
fn a_hypervisor_gets_another_program_and_goes_back_by_itself() {
    World::run(async |world| {
        upgrade::a_hypervisor_gets_another_program_and_goes_back_by_itself(world).await;
    });
}

#[test]
fn a_prepared_image_becomes_a_router() {
    World::run(async |world| openwrt::a_prepared_image_becomes_a_router(world).await);
}

#[test]
fn networks_are_network_cards_of_a_router_in_a_machine() {
    World::run(async |world| cards::networks_are_network_cards_of_a_router(world).await);
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    guide::every_command_of_the_guide_does_what_it_says();
}

/// A core, and a host with both components.
async fn start(world: &mut World) -> Operator {
    world.start_core();
    let operator = Operator::of(world).await;
    world.say("the core answers");
    for kind in Kind::ALL {
        let name = operator.add_component(world, kind).await;
        world.say(&format!("{name} has joined and is connected"));
    }
    operator
}
