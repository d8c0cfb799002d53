//! Answers that do not show their network: none is used before a check of the network.

use super::*;

/// Requests an answer that waits for a check of the network, and returns none, or one that does not wait.
async fn unless_it_waits(client: &HorizonClient) -> Option<usize> {
    tokio::select! {
        page = client.trades_page(None, PageOrder::Descending, 3) => Some(page.unwrap().len()),
        () = client.limiter().network_check_is_wanted() => None,
    }
}

#[test]
fn an_answer_that_does_not_show_its_network_waits_for_a_check_after_each_new_connection() {
    let sim = network(FaultPlan::none());
    System::new().block_on(async {
        let books = client(&sim).of_class(Class::Books);
        let limiter = books.limiter();
        limiter.expect_network_checks();
        let check = |is_wrong| limiter.record_network_check(limiter.network_doubts(), is_wrong);
        assert_eq!((unless_it_waits(&books).await, books.connections_opened()), (None, 0), "nothing is sent");
        check(false);
        assert_eq!((unless_it_waits(&books).await, books.connections_opened()), (None, 1), "it is held back");
        check(false);
        assert_eq!(unless_it_waits(&books).await, Some(3), "on the same connection");
        assert_eq!(unless_it_waits(&books).await, Some(3), "as long as nothing happens");
        limiter.record_disruption();
        let mut held_back = std::pin::pin!(books.trades_page(None, PageOrder::Descending, 3));
        tokio::select! {
            _ = &mut held_back => panic!("it must wait"),
            () = limiter.network_check_is_wanted() => {}
        }
        check(true);
        tokio::select! {
            _ = &mut held_back => panic!("it is of another network"),
            () = limiter.network_check_is_wanted() => {}
        }
        let asked = || limiter.report().granted[4];
        let before = asked();
        check(false);
        assert_eq!(held_back.await.unwrap().len(), 3);
        assert_eq!(asked(), before + 1, "it is requested again");
    });
}
